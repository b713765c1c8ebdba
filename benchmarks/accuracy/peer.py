"""The vendor-derived toolchain (tpu_mlir) on the same classifiers and the same tensors.

It runs in an environment of its own, which `shared/vendor/peer.py setup` makes: transform,
calibrate with its default (KLD) on the same 100 images, deploy INT8, and then its own
interpreter on the quantised network. All inputs are tensors that we have preprocessed.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
from benchmarks.accuracy.bench import CHIP, Bench
from benchmarks.accuracy.catalogue import Classifier
from benchmarks.accuracy.forms import said
from benchmarks.accuracy.kept import Kept
from benchmarks.zoo import SHARED

from cvi.errors import CviError, InputError
from cvi.ir import Array

PEER = "tpu_mlir INT8"
SETUP = SHARED / "vendor" / "peer.py"
INTERPRETER = Path(__file__).with_name("peer_interpreter.py")

_WITH_LIBRARIES = (
    "import subprocess, sys, tpu_mlir; sys.exit(subprocess.call([sys.executable, *sys.argv[1:]]))"
)
"""Importing the peer sets the paths of its libraries, for programs that are started then."""


class Peer:
    """The peer's environment, and a folder for its files of one network."""

    def __init__(self, home: Path, folder: Path) -> None:
        self.home, self.folder = home.resolve(), folder.resolve()
        self._tools = _helpers()

    def measure(self, entry: Classifier, count: int, kept: Kept) -> None:
        """Score the peer's INT8 network on so many images, unless it is known."""
        known = kept.score(PEER)
        if known is not None and known.images == count:
            return
        if not (self.home / "bin" / "model_transform").exists():
            raise InputError(
                "the peer is not installed there",
                where=f"--peer {self.home}",
                fix=f"python {SETUP.name} setup {self.home}",
            )
        said(f"{entry.name}: images for the peer")
        bench = Bench(entry, count)
        scores, seconds = self._scores(bench)
        found = bench.counted(PEER, scores, seconds)
        kept.keep(found)
        said(f"{entry.name}: {PEER}: lost {found.lost}, changed {found.changed}, KL {found.kl:.5f}")

    def _scores(self, bench: Bench) -> tuple[list[Array], float]:
        """What the peer's INT8 network gives for the images; CPU seconds of its interpreter."""
        self._write_inputs(bench)
        output = bench.graph[bench.graph.outputs[0]].source
        shape = ",".join(map(str, bench.graph.inputs[0].type.shape))
        entry = bench.entry
        weights = ("--model_data", entry.weight_file) if entry.weight_file else ()
        self._run(
            "model_transform", "--model_name", "net", "--model_def", entry.model, *weights,
            "--input_shapes", f"[[{shape}]]", "--output_names", output, "--mlir", "net.mlir",
            "--test_input", "training/000.npz", "--test_result", "net_top.npz",
        )  # fmt: skip
        self._run(
            "run_calibration", "net.mlir", "--dataset", "training",
            "--input_num", len(bench.training), "--chip", CHIP, "-o", "net_table",
        )  # fmt: skip
        self._run(
            "model_deploy", "--mlir", "net.mlir", "--quantize", "INT8", "--chip", CHIP,
            "--calibration_table", "net_table", "--model", "net.cvimodel", "--debug",
        )  # fmt: skip
        quantised = self._quantised()
        words = (INTERPRETER, quantised, "images.npy", "scores.npy")
        seconds = self._run("python", "-c", _WITH_LIBRARIES, *words)
        return list(np.load(self.folder / "scores.npy")), seconds

    def _write_inputs(self, bench: Bench) -> None:
        (fed,) = bench.graph.inputs
        name = fed.source or fed.name
        (self.folder / "training").mkdir(parents=True, exist_ok=True)
        for number, image in enumerate(bench.training):
            path = self.folder / "training" / f"{number:03}.npz"
            np.savez(path, **{name: image[fed.name]})  # type: ignore[arg-type]
        np.save(self.folder / "images.npy", np.stack([i[fed.name] for i in bench.images]))

    def _quantised(self) -> Path:
        """The file of the network in INT8 that deploying leaves."""
        found = sorted(self.folder.glob(f"*{CHIP}*int8*tpu.mlir"))
        if not found:
            raise CviError("the peer left no quantised network", where=str(self.folder))
        return found[0]

    def _run(self, tool: str, *words: object) -> float:
        """CPU seconds of one of the peer's programs; its output is in a log of the folder."""
        command: Sequence[str] = [str(self.home / "bin" / tool), *map(str, words)]
        env = self._tools.environment(self.home, threads=1)
        step = self._tools.measure(tool, command, cwd=self.folder, env=env)
        if step.returncode:
            last = Path(step.log).read_text(errors="replace").strip().splitlines()[-1:]
            why = last[0][:200] if last else f"exit code {step.returncode}"
            raise CviError(f"the peer's {tool} fails: {why}", where=step.log)
        return float(step.cpu_s)


def _helpers() -> ModuleType:
    """The module that sets the peer up."""
    spec = importlib.util.spec_from_file_location("peer_setup", SETUP)
    if spec is None or spec.loader is None or not SETUP.exists():
        raise InputError("the peer's helpers are missing", where=str(SETUP))
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
