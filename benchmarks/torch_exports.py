"""What PyTorch's exporters write, imported and compared: every layer with onnxruntime.

    pip install torch onnx onnxscript
    python -m benchmarks.torch_exports [NAME…] [--fixtures]

Each network of torch_nets.py is exported by both exporters at several opsets, imported, and
run before and after simplification. Prints a line per export that is refused or differs.
--fixtures writes the files that the tests use, which have no PyTorch.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cvi.compare import Tolerance, compare_sets
from cvi.errors import CviError
from cvi.execute import evaluate
from cvi.passes import simplify
from cvi_frontend_onnx.executor import OnnxRuntimeExecutor
from cvi_frontend_onnx.frontend import OnnxFrontend

if TYPE_CHECKING:
    from benchmarks.torch_nets import Net

LEAST = Tolerance(0.9999, 0.9999, 0.98)


@dataclass(frozen=True)
class Exporter:
    """An exporter and the opset asked of it."""

    dynamo: bool
    opset: int

    def __str__(self) -> str:
        return f"{'dynamo' if self.dynamo else 'torchscript'}-{self.opset}"


EXPORTERS = (
    *(Exporter(False, opset) for opset in (11, 13, 17, 20)),
    *(Exporter(True, opset) for opset in (18, 20, 23)),
)


FOLDER = Path(__file__).resolve().parents[1] / "tests" / "unit" / "frontend_onnx" / "torch"

FIXTURES = (
    "convnext torchscript-13", "convnext dynamo-18", "encoder_layer dynamo-23",
    "multihead torchscript-17", "causal_attention torchscript-17", "lstm_two_way torchscript-17",
    "lstm_all dynamo-20", "gru_two_way_state torchscript-11", "yolov8_head torchscript-13",
    "yolov5_head dynamo-20", "einsum_attention dynamo-20", "group_norm torchscript-13",
    "local_response_norm torchscript-17", "activations dynamo-18", "nearest_exact dynamo-20",
    "inverted torchscript-13", "bicubic dynamo-20", "rms_norm dynamo-23", "cumsum_tril dynamo-20",
    "deviations torchscript-13", "deviations dynamo-20",
)  # fmt: skip
"""The most telling files: decompositions, branches, ops that only one exporter writes."""


def export(net: Net, exporter: Exporter, path: Path) -> None:
    """Write the network with random weights, in inference mode; the same ones every time."""
    import torch

    torch.manual_seed(7)
    module = net.make().eval()
    randomise(module)
    inputs = tuple(torch.randn(shape) for shape in net.shapes)
    with quiet():
        torch.onnx.export(
            module, inputs, str(path), opset_version=exporter.opset, dynamo=exporter.dynamo,
            **({"external_data": False} if exporter.dynamo else {}),
        )  # fmt: skip


def randomise(module: Any) -> None:
    """Statistics and factors as after training, so that normalisations do something."""
    import torch

    for name, tensor in module.named_buffers():
        if name.endswith("running_var"):
            tensor.copy_(torch.rand_like(tensor) + 0.5)
        elif name.endswith("running_mean"):
            tensor.copy_(torch.randn_like(tensor) * 0.1)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """The exporters talk a lot."""
    logging.disable(logging.WARNING)
    out, err = io.StringIO(), io.StringIO()
    with warnings.catch_warnings(), redirect_stdout(out), redirect_stderr(err):
        warnings.simplefilter("ignore")
        yield


def compare(path: Path) -> str:
    """What is wrong with the import of a file, "" when every layer fits onnxruntime's."""
    frontend = OnnxFrontend()
    graph = frontend.load(path)
    rng = np.random.default_rng(3)
    feeds = {op.name: rng.standard_normal(op.type.shape).astype(np.float32) for op in graph.inputs}
    small = simplify(graph)
    for stage in (graph, small):
        values = evaluate(stage, feeds, keep=True)
        names = {op.name: op.source for op in stage if op.source}
        shown = frontend.reference(path, feeds, tensors=sorted(set(names.values())))
        target = {n: values[n] for n, source in names.items() if source in shown}
        reference = {n: shown[names[n]].astype(np.float32) for n in target}
        wrong = _worst(target, reference)
        if wrong:
            return wrong
    fast = OnnxRuntimeExecutor(threads=1).session(small, small.outputs).run(feeds)
    return _worst(fast, {name: values[name] for name in fast})


def _worst(target: dict[str, Any], reference: dict[str, Any]) -> str:
    """The first layers that are not alike, "" when all are."""
    rows = compare_sets(target, reference, LEAST).rows
    bad = [f"{row.name} {row.similarity.cosine:.6f} {row.note}" for row in rows if not row.passed]
    return ", ".join(bad[:3])


def write_fixtures(nets: Sequence[Net]) -> None:
    """The files of FIXTURES without the notes that exporters leave in them."""
    import onnx

    FOLDER.mkdir(exist_ok=True)
    for net in nets:
        for exporter in EXPORTERS:
            if f"{net.name} {exporter}" not in FIXTURES:
                continue
            path = FOLDER / f"{net.name}_{exporter}.onnx"
            export(net, exporter, path)
            model = onnx.load(str(path))
            for part in (
                model,
                model.graph,
                *model.graph.node,
                *model.graph.value_info,
                *model.graph.input,
                *model.graph.output,
                *model.graph.initializer,
            ):
                part.ClearField("metadata_props")
                part.ClearField("doc_string")
            model.graph.ClearField("value_info")
            onnx.save(model, str(path))


def outcomes(nets: Sequence[Net], folder: Path) -> Iterator[tuple[str, str, str]]:
    """Network and exporter, status, reason."""
    for net in nets:
        for exporter in EXPORTERS:
            label, path = f"{net.name} {exporter}", folder / f"{net.name}_{exporter}.onnx"
            try:
                export(net, exporter, path)
            except Exception as error:
                first = (str(error).strip().splitlines() or [""])[0]
                yield label, "not exported", f"{type(error).__name__}: {first[:120]}"
                continue
            try:
                wrong = compare(path)
            except CviError as error:
                yield label, "refused", str(error)
                continue
            yield label, "differs" if wrong else "equal", wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="networks; all when none is given")
    parser.add_argument("--keep", type=Path, help="keep the exported files in this folder")
    parser.add_argument("--fixtures", action="store_true", help="write the tests' files")
    arguments = parser.parse_args()
    from benchmarks.torch_nets import NETS

    nets = [net for net in NETS if not arguments.names or net.name in arguments.names]
    if arguments.fixtures:
        write_fixtures(nets)
        return 0
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.keep or Path(scratch)
        for label, status, reason in outcomes(nets, folder):
            counts[status] += 1
            if status != "equal":
                print(f"{label}: {status}: {reason}", flush=True)
    print(", ".join(f"{count} {status}" for status, count in counts.most_common()))
    return int(counts["differs"] > 0)


if __name__ == "__main__":
    sys.exit(main())
