"""What `cvi search` costs and reaches on the network on which the peer's searches were measured.

The network is mobilenet_v1_025 with random weights, 100 images for the thresholds and 30 for the
search, on CV183x; similarity of the outputs to FP32 on 8 other images. The peer's figures are
those of tpu_mlir 1.30.2 (CPU seconds of the whole process, as ours). Weights are rounded as
`cvi convert` does with the images.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from benchmarks.accuracy.bench import learned
from benchmarks.flow import CHIP, IMAGES, OURS, SHARED, expanded, measured

from cvi import plugins
from cvi.calibrate.table import CalibrationTable
from cvi.execute import evaluate, float_session
from cvi.flow.real import quantised_inputs, real_values
from cvi.ir import Array, Graph, storage
from cvi.precision import Precision, PrecisionPlan
from cvi.preprocess.dataset import find_images, samples, select, shuffled
from cvi.search.order import ordered
from cvi.search.sensitivity import Loss

NETWORK = "mobilenet_v1_025"
LAYERS = (0, 2, 6, 8, 10)
PEER = (
    ("all INT8", "0", 0.9669, 11.29, ""),
    ("fast_search", "10", 0.9888, 16.04, "29.5"),
    ("search_qtable", "8", 0.9811, 13.51, "48.5"),
    ("mix_search", "2", 0.9677, 11.28, "19.7"),
    ("search_threshold", "0", 0.9730, 12.08, "41.6"),
    ("all BF16", "all", 0.9940, 19.42, ""),
)


@dataclass(frozen=True)
class Reached:
    """Similarity to FP32 with so many layers in BF16, -1 for all."""

    layers: int
    cosine: float
    sqnr: float


@dataclass(frozen=True)
class SearchCost:
    """cpu_s: of the whole process that ranks the layers; reached: with the first n of them."""

    cpu_s: float
    target_cpu_s: float
    target_layers: int
    reached: tuple[Reached, ...]


def measure_search() -> SearchCost:
    """Run the commands, then the mixed networks on the held-out images."""
    with tempfile.TemporaryDirectory(prefix="cvi-search-") as folder:
        return _measured(Path(folder))


def _measured(folder: Path) -> SearchCost:
    model, table, graph = expanded(NETWORK, folder), folder / "t.table", folder / "m.cvi.json"
    _run(folder, "transform", str(model), "--preset", "imagenet-torch", "--no-verify", "-o", graph)
    _run(folder, "calibrate", graph, "--dataset", IMAGES, "--input-num", "100", "-o", table)
    words = ("search", graph, "--chip", CHIP, "--calibration-table", table, "--dataset", IMAGES)
    mix, aimed, losses = folder / "mix.txt", folder / "aimed.txt", folder / "l"
    seconds = _run(folder, *words, "--input-num", "30", "--max-bf16-layers", "10", "-o", mix)
    _run(folder, *words, "--input-num", "30", "--loss-table", losses, "-o", folder / "again.txt")
    target = _run(folder, *words, "--input-num", "30", "--target", "cos=0.99", "-o", aimed)
    network = storage.load(graph)
    found = [Loss(*json.loads(line)) for line in losses.read_text().splitlines()[1:]]
    order = list(ordered(network, {loss.layer: loss for loss in found}))
    thresholds = CalibrationTable.read(table)
    counts = [*LAYERS, len(PrecisionPlan.read(aimed, network).layers)]
    reached = [_similar(network, thresholds, order[:n], n) for n in dict.fromkeys(counts)]
    reached.append(_similar(network, thresholds, None, -1))
    return SearchCost(seconds, target, counts[-1], tuple(reached))


def _run(folder: Path, *words: object) -> float:
    """CPU seconds of one command."""
    return measured([*OURS, *map(str, words)], folder / f"{words[0]}.log").cpu_s


def _similar(
    graph: Graph, table: CalibrationTable, layers: Sequence[str] | None, count: int
) -> Reached:
    default = Precision.BF16 if layers is None else Precision.INT8
    plan = PrecisionPlan(default, dict.fromkeys(layers or (), Precision.BF16))
    scheme = "bf16" if layers is None else "mixed"
    images = samples(graph, shuffled(select(find_images(IMAGES), 100)))
    made = learned(graph, table, plan, scheme, images)
    pairs = [_pair(graph, made, image) for image in _held_out(graph)]
    cosines = [float(a @ b / np.linalg.norm(a) / np.linalg.norm(b)) for a, b in pairs]
    ratios = [10 * np.log10(float(b @ b) / float(np.square(a - b).sum())) for a, b in pairs]
    return Reached(count, float(np.mean(cosines)), float(np.mean(ratios)))


def _held_out(graph: Graph) -> list[dict[str, Array]]:
    files = find_images(SHARED / "images" / "imagenet_val500")[::60][:8]
    return list(samples(graph, files))


def _pair(graph: Graph, made: Graph, image: dict[str, Array]) -> tuple[Array, Array]:
    """The outputs of the quantised and of the float graph as fp64 rows."""
    values = real_values(made, evaluate(made, quantised_inputs(made, image), exact=False))
    session = float_session(graph, graph.outputs, plugins.executors())
    expected = session.run(image)[graph.outputs[0]]
    found = values[made.outputs[0]]
    return found.reshape(-1).astype(np.float64), expected.reshape(-1).astype(np.float64)


def section(found: SearchCost) -> list[str]:
    """The lines of the documentation page."""
    head = (
        f"{NETWORK} with random weights, {CHIP}, 100 images for thresholds, 30 for the search, "
        "similarity on 8 other images."
    )
    lines = ["## What the search costs", "", head, ""]
    lines += ["| search | BF16 layers | cosine | SQNR dB | CPU s |", "|---|---|---|---|---|"]
    for one in found.reached:
        count = "all" if one.layers < 0 else str(one.layers)
        cost = f"{found.cpu_s:.1f}"
        if one.layers == found.target_layers:
            cost = f"{found.target_cpu_s:.1f} (--target cos=0.99)"
        cost = "" if one.layers <= 0 else cost
        lines.append(f"| cvi | {count} | {one.cosine:.4f} | {one.sqnr:.2f} | {cost} |")
    for name, count, cosine, sqnr, cost in PEER:
        lines.append(f"| tpu_mlir 1.30.2 {name} | {count} | {cosine:.4f} | {sqnr:.2f} | {cost} |")
    return [*lines, ""]


if __name__ == "__main__":
    sys.stdout.write("\n".join(section(measure_search())))
