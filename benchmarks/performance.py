"""Measures what the toolchain costs and what its programs cost; writes docs/performance.md.

    python -m benchmarks.performance [--peer FOLDER] [--work FOLDER]

--peer (or CVI_PEER): where `../shared/vendor/peer.py setup FOLDER` put the peer toolchain;
without it the peer's columns stay empty. The vendor's simulator comes from
`cvi vendor install` or CVI_VENDOR_LIB. --work keeps every measurement as a file, so that a
run that was stopped goes on where it was; give an empty folder to measure anew.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks import flow, installed, simulator_speed, startup

PAGE = Path(__file__).resolve().parents[1] / "docs" / "performance.md"
FLOWS = ("resnet18", "mobilenet_v2")
SIMULATED = ("digits", "squeezenet1_1", "mobilenet_v2", "resnet18")
EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "digits"

FLOW_BOUND, SIMULATOR_BOUND, STARTUP_BOUND, SIZE_BOUND = 0.5, 1.0, 0.3, 320.0
"""Ratios of CPU seconds, CPU seconds, and MB without onnxruntime."""


class Bench:
    """Runs measurements, each once: `work` keeps their results."""

    def __init__(self, work: Path, peer: Path | None) -> None:
        self.work, self.peer = work, peer

    def kept(self, name: str, measure: Callable[[], Any]) -> Any:
        """The measurement of that name, as plain data."""
        path = self.work / f"{name}.json"
        if not path.exists():
            print(f"{name} …", file=sys.stderr, flush=True)
            path.write_text(json.dumps(measure()))
        return json.loads(path.read_text())

    def ours(self, name: str) -> flow.Flow:
        return flow.Flow(**self.kept(f"ours_{name}", lambda: vars(flow.ours(name, self.work))))

    def peers(self, name: str) -> flow.Flow | None:
        home = self.peer
        if home is None:
            return None
        measure = lambda: vars(flow.peer(home, name, self.work))  # noqa: E731
        return flow.Flow(**self.kept(f"peer_{name}", measure))

    def file(self, name: str) -> Path:
        """A program file to simulate."""
        if name in FLOWS:
            return Path(self.ours(name).file)
        target = self.work / f"{name}.cvimodel"
        if not target.exists() and name == "digits":
            _convert_example(target)
        elif not target.exists():
            flow.ours(name, self.work, images=10)
        return target

    def simulator(self, name: str, simulator: str) -> float:
        file = self.file(name)
        key = f"{simulator}_simulates_{name}"
        return float(self.kept(key, lambda: simulator_speed.measure(simulator, file)))


def _convert_example(target: Path) -> None:
    command = [*flow.OURS, "convert", str(EXAMPLE / "digits.onnx"), "--chip", flow.CHIP]
    command += ["--gray", "--input-scale", str(1 / 255)]
    command += ["--dataset", str(EXAMPLE / "calibration"), "-o", str(target)]
    flow.measured(command, target.with_suffix(".log"))


# -- tables ---------------------------------------------------------------------------


def judged(value: float, bound: float, digits: int = 2) -> str:
    """A value with the sign of whether it keeps its bound."""
    return f"{value:.{digits}f} {'✓' if value <= bound else '✗'}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; all columns but the first to the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def flows(bench: Bench) -> str:
    rows = []
    for name in FLOWS:
        ours, theirs = bench.ours(name), bench.peers(name)
        row = [name, f"{ours.cpu_s:.1f}", f"{ours.peak_mib:.0f}"]
        if theirs is None:
            rows.append([*row, "–", "–", "–"])
            continue
        ratio = judged(ours.cpu_s / theirs.cpu_s, FLOW_BOUND)
        rows.append([*row, f"{theirs.cpu_s:.1f}", f"{theirs.peak_mib:.0f}", ratio])
    head = ("network", "cvi CPU s", "cvi MiB", "peer CPU s", "peer MiB", "ratio of CPU s")
    return table(head, rows)


def simulators(bench: Bench) -> str:
    rows = []
    for name in SIMULATED:
        ours, theirs = (bench.simulator(name, which) for which in ("ours", "vendor"))
        ratio = judged(ours / theirs, SIMULATOR_BOUND)
        rows.append([name, f"{ours:.4f}", f"{theirs:.4f}", ratio])
    return table(("program", "cvi CPU s", "vendor CPU s", "ratio"), rows)


def programs(bench: Bench) -> str:
    rows = []
    for name in FLOWS:
        ours, theirs = bench.ours(name), bench.peers(name)
        rows.append(_program(f"{name}, cvi", mine := flow.estimate(Path(ours.file))))
        if theirs is not None:
            other = flow.estimate(Path(theirs.file))
            rows.append(_program(f"{name}, peer", other))
            pairs = [(mine.cycles, other.cycles), (mine.dram, other.dram)]
            pairs.append((mine.file_bytes, other.file_bytes))
            rows.append([f"{name}, ratio", *(f"{a / b:.2f}" for a, b in pairs)])
    return table(("program", "cycles", "DRAM bytes", "file bytes"), rows)


def _program(title: str, found: flow.Estimate) -> list[str]:
    return [title, f"{found.cycles:,}", f"{found.dram:,}", f"{found.file_bytes:,}"]


def size(bench: Bench) -> str:
    def measure() -> dict[str, int]:
        with tempfile.TemporaryDirectory() as folder:
            installed.install(Path(folder))
            return installed.sizes(Path(folder))

    found = bench.kept("installed", measure)
    total, rest = installed.with_and_without(found, "onnxruntime")
    ours = sum(n for name, n in found.items() if name.startswith("cvi"))
    rows = [
        ["all", f"{total / 1e6:.0f}", ""],
        ["without onnxruntime", f"{rest / 1e6:.0f}", judged(rest / 1e6 / SIZE_BOUND, 1.0)],
        ["cvi's own distributions", f"{ours / 1e6:.1f}", ""],
    ]
    return table(("site-packages", "MB", f"of {SIZE_BOUND:.0f} MB"), rows)


def start(bench: Bench) -> str:
    seconds = float(bench.kept("startup", lambda: startup.cpu_seconds(bench.work / "help.log")))
    rows = [["cvi --help", f"{seconds:.3f}", judged(seconds / STARTUP_BOUND, 1.0)]]
    return table(("command", "CPU s", f"of {STARTUP_BOUND} s"), rows)


# -- page -----------------------------------------------------------------------------


def machine() -> str:
    """What it was measured on, with versions and the day."""
    model = "unknown processor"
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        named = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = named[0].partition(":")[2].strip() if named else model
    used = ("cvi-core", "numpy", "onnx", "onnxruntime", "opencv-python-headless")
    versions = ", ".join(f"{name} {version(name)}" for name in used)
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    moment = datetime.fromtimestamp(int(epoch), timezone.utc) if epoch else None
    day = (moment or datetime.now(timezone.utc)).date()
    return (
        f"{os.cpu_count()} cores of {model}, {platform.system()} {platform.machine()}, Python "
        f"{platform.python_version()}, {versions}; {day}."
    )


def page(bench: Bench) -> str:
    """The whole document."""
    return f"""# Performance

Written by `python -m benchmarks.performance`. Measured on {machine()}

CPU seconds are user plus system time of a process and its children, so other work on the
machine matters little. ✓ and ✗ say whether a bound is kept.

## The whole flow

`cvi convert` from the ONNX file to the verified program, INT8 for {flow.CHIP}, with
{flow.COUNT} calibration images (imagenet_train100) and all comparisons; the peer (tpu_mlir
1.30.2: model_transform, run_calibration, model_deploy) with the same images and comparisons.
The networks are the well-known architectures with random weights, in which the error of
quantisation grows from layer to layer: INT8 and float are compared, but with open tolerances
(0 for the peer). Peak memory is that of the largest process. Bound: {FLOW_BOUND} of the
peer's CPU seconds.

{flows(bench)}

## The simulator

One inference with the program loaded, best of {simulator_speed.REPEATS}, on the same file;
the vendor's simulator is the one of its wheel. Bound: {SIMULATOR_BOUND} of its CPU seconds.

{simulators(bench)}

## Starting up

Least of ten runs. Bound: {STARTUP_BOUND} CPU seconds.

{start(bench)}

## The programs

The files of the first table, by one estimator for both (which
decodes the commands of a file; it is written independently of ours). Cycles are those of
the TPU until the last command ends, DRAM bytes what its commands read and write.

{programs(bench)}

## Installed size

`pip install` of core with images, the ONNX frontend, the TPU and one chip into an empty
environment, without pip itself. Bound: {SIZE_BOUND:.0f} MB without onnxruntime.

{size(bench)}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    named = os.environ.get("CVI_PEER")
    parser.add_argument("--peer", type=Path, default=Path(named) if named else None)
    parser.add_argument("--work", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cvi-performance-") as scratch:
        work = options.work or Path(scratch)
        work.mkdir(parents=True, exist_ok=True)
        text = page(Bench(work.resolve(), options.peer))
    PAGE.write_text(text)
    print(f"written: {PAGE}")


if __name__ == "__main__":
    main()
