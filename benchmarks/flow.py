"""The whole flow from an ONNX model to a verified program: ours, and the peer toolchain's.

Both import the model, calibrate with the same images, compile for the same chip, and make
the same comparisons (framework and float graph, float and INT8 graph, INT8 graph and
simulated program). The peer is tpu_mlir, set up and run by `shared/vendor/peer.py`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SHARED = Path(__file__).resolve().parents[2] / "shared"
IMAGES = SHARED / "images" / "imagenet_train100"
CHIP = "cv183x"
COUNT = 100

OURS = [sys.executable, "-c", "import sys; from cvi.cli import main; sys.exit(main())"]
"""The command `cvi` of the interpreter that runs this."""


@dataclass(frozen=True)
class Usage:
    """What a process and its children used: CPU seconds (user and system), and the largest
    memory of any of them in MiB."""

    cpu_s: float
    peak_mib: float


@dataclass(frozen=True)
class Flow:
    """One conversion. file: the program file it made."""

    cpu_s: float
    peak_mib: float
    file: str


@dataclass(frozen=True)
class Estimate:
    """What `shared/vendor/cycles.py` says of a program file. dram: bytes read and written."""

    cycles: int
    dram: int
    file_bytes: int


def measured(command: Sequence[str], log: Path) -> Usage:
    """Run a command to its end; its output goes to `log`, which a failure names."""
    with log.open("wb") as out:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError(f"{' '.join(command)} failed with {child.returncode}: see {log}")
    return Usage(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def expanded(name: str, folder: Path) -> Path:
    """The ONNX file of an architecture with random weights."""
    path = folder / f"{name}.onnx"
    if not path.exists():
        script = SHARED / "models" / "random" / "expand.py"
        subprocess.run([sys.executable, str(script), str(folder), name], check=True)
    return path


def ours(name: str, folder: Path, images: int = COUNT) -> Flow:
    """Our flow. The tolerance of the INT8 comparison is open: in networks of random weights
    the quantisation error grows from layer to layer; the comparison is made all the same."""
    target = folder / f"{name}.cvimodel"
    command = [*OURS, "convert", str(expanded(name, folder)), "--chip", CHIP]
    command += ["--preset", "imagenet-torch", "--dataset", str(IMAGES), "--input-num", str(images)]
    command += ["--quant-tolerance=-1,-1,-10", "-o", str(target)]
    usage = measured(command, folder / f"{name}.log")
    return Flow(usage.cpu_s, usage.peak_mib, str(target))


def peer(home: Path, name: str, folder: Path) -> Flow:
    """The peer's flow; `home` is where `peer.py setup` put it."""
    script = SHARED / "vendor" / "peer.py"
    command = [sys.executable, str(script), "run", str(home), str(expanded(name, folder))]
    command += ["--chip", CHIP, "--images", str(IMAGES), "--input-num", str(COUNT)]
    command += ["--mean", "123.675,116.28,103.53", "--scale", "0.0171248,0.0175070,0.0174292"]
    command += ["--tolerance", "0,0", "--out", str(folder / "peer" / name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the peer failed on {name}: {done.stderr}{done.stdout}")
    return peer_result(json.loads(done.stdout))


def peer_result(said: dict[str, object]) -> Flow:
    """What `peer.py run` printed."""
    return Flow(float(str(said["cpu_s"])), float(str(said["peak_rss_mb"])), str(said["cvimodel"]))


def estimate(file: Path) -> Estimate:
    """Cycles and DRAM traffic of a program file by a model that is not ours."""
    script = SHARED / "vendor" / "cycles.py"
    command = [sys.executable, str(script), str(file), "--json"]
    said = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    dram = said["dram_read"] + said["dram_written"]
    return Estimate(said["makespan"], dram, file.stat().st_size)
