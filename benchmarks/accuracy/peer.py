"""The vendor-derived toolchain (tpu_mlir) on the same classifiers and the same tensors.

It runs in an environment of its own, which `shared/vendor/peer.py setup` makes: transform,
calibrate with its default (KLD) on the same 100 images, deploy INT8, and then its own
interpreter on the quantised network. All inputs are tensors that we have preprocessed. It can
neither calibrate TFLite models (not even float ones) nor compute their integers on these chips;
of these it is given our float graph as ONNX.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
from benchmarks.accuracy.bench import CHIP, Bench
from benchmarks.accuracy.catalogue import Classifier
from benchmarks.accuracy.forms import said
from benchmarks.accuracy.kept import Kept
from benchmarks.zoo import SHARED
from onnx import version_converter

from cvi.errors import CviError, InputError
from cvi.ir import Array
from cvi_frontend_onnx.exporter import to_onnx

PEER = "tpu_mlir INT8"
SETUP = SHARED / "vendor" / "peer.py"
_OPSET, _IR_VERSION = 17, 8
"""What the peer's version of ONNX reads."""

INTERPRETER = Path(__file__).with_name("peer_interpreter.py")

_WITH_LIBRARIES = (
    "import subprocess, sys, tpu_mlir; sys.exit(subprocess.call([sys.executable, *sys.argv[1:]]))"
)
"""Importing the peer sets the paths of its libraries, for programs that are started then."""


@dataclass(frozen=True)
class _Given:
    """What the peer reads, and the names of input and output in it."""

    model: Path
    weights: Path | None
    input: str
    output: str


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
        given = self._given(bench)
        self._write_inputs(bench, given.input)
        shape = ",".join(map(str, bench.graph.inputs[0].type.shape))
        weights = ("--model_data", given.weights) if given.weights else ()
        self._run(
            "model_transform", "--model_name", "net", "--model_def", given.model, *weights,
            "--input_shapes", f"[[{shape}]]", "--output_names", given.output,
            "--mlir", "net.mlir", "--test_input", "training/000.npz", "--test_result", "top.npz",
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

    def _given(self, bench: Bench) -> _Given:
        """The file that the peer reads."""
        (fed,), (output,), entry = bench.graph.inputs, bench.graph.outputs, bench.entry
        if entry.model.suffix != ".tflite":
            source = _blob(entry.model, bench.graph[output].source or output)
            return _Given(entry.model, entry.weight_file, fed.source or fed.name, source)
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "float.onnx"
        model = version_converter.convert_version(to_onnx(bench.graph, [output]), _OPSET)
        model.ir_version = _IR_VERSION
        path.write_bytes(model.SerializeToString())
        return _Given(path, None, fed.name, output)

    def _write_inputs(self, bench: Bench, name: str) -> None:
        (fed,) = bench.graph.inputs
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
            raise CviError(f"the peer's {tool} fails: {_reason(step.log)}", where=step.log)
        return float(step.cpu_s)


def _blob(model: Path, layer: str) -> str:
    """The name by which the peer knows a result: in a Caffe file that of the layer's top."""
    if model.suffix != ".prototxt":
        return layer
    parts = re.split(r"\blayers?\s*\{", model.read_text())
    named = next((part for part in parts if re.search(rf'name:\s*"{re.escape(layer)}"', part)), "")
    top = re.search(r'top:\s*"([^"]+)"', named)
    return top[1] if top else layer


def _reason(log: str) -> str:
    """The first exception that nothing handles, of those that a log tells of."""
    text = Path(log).read_text(errors="replace").partition("Exception ignored")[0]
    lines = [line for line in text.splitlines() if "Error" in line and not line.startswith(" ")]
    return lines[-1][:200] if lines else "see its log"


def _helpers() -> ModuleType:
    """The module that sets the peer up."""
    spec = importlib.util.spec_from_file_location("peer_setup", SETUP)
    if spec is None or spec.loader is None or not SETUP.exists():
        raise InputError("the peer's helpers are missing", where=str(SETUP))
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
