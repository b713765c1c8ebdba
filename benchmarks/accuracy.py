"""Accuracy of the real classifiers in every precision; writes docs/accuracy.md.

    python -m benchmarks.accuracy [NAME ...] [--images N] [--keep DIR]

Needs the folder `shared`. The results of each network are kept in DIR (default: out/accuracy)
as soon as they are there; the page is made of all that lie in it. With names only these are
measured again. A network whose frontend is not installed is left out, and said so.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import process_time
from unittest.mock import patch

import numpy as np
from benchmarks.search_cost import Reached, SearchCost, measure_search, section
from benchmarks.zoo import REPOSITORY, SHARED

import cvi
from cvi import plugins
from cvi.calibrate.calibrate import calibrate, float_layers
from cvi.calibrate.table import CalibrationTable
from cvi.errors import CviError
from cvi.evaluate.labels import read_labelled
from cvi.execute import evaluate, float_session
from cvi.flow import stages
from cvi.flow.images import ImageOptions, with_preprocess
from cvi.flow.real import quantised_inputs, real_values
from cvi.ir import Array, Graph
from cvi.ops import Reshape, Softmax
from cvi.precision import Precision, PrecisionPlan
from cvi.preprocess.dataset import find_images, samples, select
from cvi.search.select import ranked
from cvi.search.sensitivity import losses

PAGE = REPOSITORY / "docs" / "accuracy.md"
KEPT = REPOSITORY / "out" / "accuracy"
IMAGES = SHARED / "images" / "imagenet_val500"
TRAINING = SHARED / "images" / "imagenet_train100"
CHIP = "cv183x"
MIXED = (6, 10, 15)
SEARCHED = 30


@dataclass(frozen=True, kw_only=True)
class Classifier:
    """offset: of its classes to those of the labels; None where the labels are of another task
    (then only the difference to FP32 is measured). batch: of the graph."""

    name: str
    file: str
    pixels: ImageOptions
    weights: str = ""
    offset: int | None = 0


_TENSORFLOW = ImageOptions(preset="tf-minus1-1")
CLASSIFIERS = (
    Classifier(
        name="mobilenet_v1_0.25_128 (ONNX)",
        file="onnx/mobilenet_v1_0.25_128/mobilenet_v1_0.25_128_quant_float.onnx",
        pixels=_TENSORFLOW,
        offset=1,
    ),
    Classifier(
        name="mobilenet_v2 (ONNX)",
        file="onnx/torch_mobilenet_v2/torch_mobilenet_v2_float.onnx",
        pixels=ImageOptions(preset="imagenet-torch"),
    ),
    Classifier(
        name="squeezenet_v1.1 (Caffe)",
        file="caffe/squeezenet_v1.1/deploy.prototxt",
        weights="caffe/squeezenet_v1.1/squeezenet_v1.1.caffemodel",
        pixels=ImageOptions(mean=(104.0, 117.0, 123.0), channel_order="bgr"),
    ),
    Classifier(
        name="mobilenet_v1_0.25_128 (Caffe)",
        file="caffe/mobilenet_v1_0.25_128/mobilenet_v1_0.25_128.prototxt",
        weights="caffe/mobilenet_v1_0.25_128/mobilenet_v1_0.25_128.caffemodel",
        pixels=_TENSORFLOW,
    ),
    Classifier(
        name="resnet20_cifar10 (ONNX)",
        file="onnx/resnet20_cifar10/resnet20_cifar10.onnx",
        pixels=ImageOptions(preset="zero-one"),
        offset=None,
    ),
    Classifier(
        name="resnet56_cifar10 (ONNX)",
        file="onnx/resnet56_cifar10/resnet56_cifar10.onnx",
        pixels=ImageOptions(preset="zero-one"),
        offset=None,
    ),
)


@dataclass(frozen=True)
class Score:
    """One network in one form. top1, top5, lost: numbers of images, None without labels; lost:
    those that FP32 has right less those that this has right. changed: whose best class is
    another than FP32's. kl: mean divergence of the class probabilities from FP32's."""

    form: str
    top1: int | None
    top5: int | None
    lost: int | None
    changed: int
    kl: float
    cpu_s: float


@dataclass(frozen=True)
class Result:
    """All forms of a network. search_cpu_s: ranking all layers with SEARCHED images."""

    name: str
    images: int
    scores: tuple[Score, ...]
    search_cpu_s: float = 0.0
    layers: int = 0
    notes: tuple[str, ...] = field(default=())


class Bench:
    """A classifier with its images, thresholds and FP32 scores."""

    def __init__(self, entry: Classifier, count: int) -> None:
        models = SHARED / "models"
        weights = models / entry.weights if entry.weights else None
        graph = cvi.load(models / entry.file, weights=weights, batch=1)
        self.graph = before_softmax(with_preprocess(graph, entry.pixels, True))
        self.labelled = entry.offset is not None
        labelled = read_labelled(IMAGES, IMAGES / "labels.txt", offset=entry.offset or 0)
        step = max(1, len(labelled) // count)
        chosen = labelled[::step][:count]
        self.labels = [one.label for one in chosen]
        self.images = list(samples(self.graph, [(one.file,) for one in chosen]))
        session = float_session(self.graph, self.graph.outputs, plugins.executors())
        self.reference = [session.run(image)[self.graph.outputs[0]] for image in self.images]
        self.training = list(samples(self.graph, select(find_images(TRAINING), 100)))

    def table(self, method: str = "auto") -> CalibrationTable:
        layers = float_session(self.graph, float_layers(self.graph), plugins.executors())
        return calibrate(
            self.graph,
            self.training,
            executor=layers,
            method=method,
            executors=plugins.executors(),
            tuned_on=stages.tuning_samples(self.graph),
        )

    def quantised(
        self, table: CalibrationTable | None, scheme: str, layers: Sequence[str] = ()
    ) -> Graph:
        default = Precision.BF16 if scheme == "bf16" else Precision.INT8
        plan = PrecisionPlan(default, dict.fromkeys(layers, Precision.BF16))
        return plugins.scheme(scheme).quantize(
            self.graph, table, plan, plugins.chip(CHIP), inputs_type="auto", outputs_type="fp32"
        )

    def score(self, form: str, quantised: Graph) -> Score:
        """The quantised graph on all images (BF16 sums in any order)."""
        start, scores = process_time(), []
        for image in self.images:
            values = evaluate(quantised, quantised_inputs(quantised, image), exact=False)
            scores.append(real_values(quantised, values)[quantised.outputs[0]])
        return self.counted(form, scores, process_time() - start)

    def counted(self, form: str, scores: Sequence[Array], cpu_s: float = 0.0) -> Score:
        pairs = list(zip(scores, self.reference, strict=True))
        changed = sum(int(a.argmax()) != int(b.argmax()) for a, b in pairs)
        kl = float(np.mean([divergence(b, a) for a, b in pairs]))
        if not self.labelled:
            return Score(form, None, None, None, changed, kl, cpu_s)
        top1, top5 = (hits(scores, self.labels, k) for k in (1, 5))
        lost = hits(self.reference, self.labels, 1) - top1
        return Score(form, top1, top5, lost, changed, kl, cpu_s)


def before_softmax(graph: Graph) -> Graph:
    """The network up to its scores: a softmax at its end changes no order, and the
    divergence is computed from the scores."""
    name = graph.outputs[0]
    while isinstance(graph[name], (Softmax, Reshape)):
        name = graph[name].inputs[0]
    return graph.rebuilt(graph.ops[: graph.ops.index(graph[name]) + 1], outputs=(name,))


def hits(scores: Sequence[Array], labels: Sequence[int], k: int) -> int:
    """How many images have the right class among the k best."""
    flat = [array.reshape(-1) for array in scores]
    return sum(
        label in np.argsort(-row, kind="stable")[:k]
        for row, label in zip(flat, labels, strict=True)
    )


def divergence(reference: Array, scores: Array) -> float:
    """Kullback-Leibler divergence of the softmax of scores from that of the reference."""
    p, q = (log_softmax(array.reshape(-1).astype(np.float64)) for array in (reference, scores))
    return float((np.exp(p) * (p - q)).sum())


def log_softmax(scores: Array) -> Array:
    shifted = scores - scores.max()
    result: Array = shifted - np.log(np.exp(shifted).sum())
    return result


def measure(entry: Classifier, count: int, *, brief: bool = False) -> Result:
    """All forms of one classifier; brief: without the comparison of methods."""
    bench = Bench(entry, count)
    table = bench.table()
    scores = [bench.counted("FP32", bench.reference)]
    if not brief:
        scores += _methods(bench, table)
    int8 = bench.quantised(table, "int8")
    scores.append(bench.score("INT8", int8))
    start = process_time()
    found = losses(bench.graph, int8, bench.training[:SEARCHED], executors=plugins.executors())
    order = ranked({loss.layer: loss.loss for loss in found})
    seconds = process_time() - start
    for layers in MIXED:
        mixed = bench.quantised(table, "mixed", order[:layers])
        scores.append(bench.score(f"mixed {layers}", mixed))
    scores.append(bench.score("BF16", bench.quantised(table, "bf16")))
    return Result(entry.name, count, tuple(scores), seconds, len(order))


def _methods(bench: Bench, table: CalibrationTable) -> list[Score]:
    """INT8 without what is new, with each part of it, and with other thresholds."""
    plain = CalibrationTable(bench.table("kld").entries)
    with patch("cvi_tpu.quantized.scheme.offset_layers", return_value=frozenset()):
        scores = [
            bench.score("INT8 around 0, KLD", bench.quantised(plain, "int8")),
            bench.score("INT8 around 0", bench.quantised(table, "int8")),
        ]
    bare = CalibrationTable(table.entries)
    scores.append(bench.score("INT8, no means", bench.quantised(bare, "int8")))
    for method in ("kld", "max", "percentile", "mse"):
        made = bench.quantised(bench.table(method), "int8")
        scores.append(bench.score(f"INT8, {method}", made))
    scores.append(bench.score("BF16, no means", bench.quantised(None, "bf16")))
    return scores


_INTRODUCTION = """\
# Accuracy

Generated by `python -m benchmarks.accuracy`; do not edit.

Thresholds: {calibration}. Accuracy: images of the folder `imagenet_val500` of `shared`, evenly
drawn, an easy subset of ImageNet's validation set: look at the differences, not at the heights.
INT8 graphs run on the exact reference, which programs equal byte for byte; BF16 graphs with
sums in any order.

- **lost**: images that FP32 classifies right less those that the network does; below 0 it has
  more right. **changed**: images whose best class is another than FP32's.
- **KL**: mean Kullback-Leibler divergence of the class probabilities from FP32's.
- Networks of another task (CIFAR-10) see the same images; only their difference to FP32 counts.
- **mixed n**: the n layers of greatest loss in BF16, ranked by `cvi search` with {searched}
  images.

Two things make the difference to the vendor's INT8, and are always on. What a relu leaves is
stored *from -128 on* instead of around 0, in all 256 integers of a byte, where only filters
read it; zero points go into biases and cost nothing. And rounding errors of weights do not
average out over inputs that are never negative: calibration keeps the *mean* of every channel,
and what the rounded weights add for these means is taken out of the bias, in BF16 too.
"""

_PEER = """\
## The vendor's toolchain

There is no column for it here: figures of its accuracy on these networks were not measured for
this page. *INT8 around 0, KLD* is its arithmetic (symmetric, no correction) on our
code; what `FACTS_COST` records of it is for random weights.
"""

_HEAD = ("form", "top-1", "top-5", "lost", "changed", "KL", "CPU s")


def page(
    results: Sequence[Result], missing: Mapping[str, str], search: SearchCost | None = None
) -> str:
    """The documentation page."""
    told = "chosen for each layer (`--method auto`), 100 training images"
    lines = [_INTRODUCTION.format(calibration=told, searched=SEARCHED)]
    for result in results:
        lines += [f"## {result.name}", "", f"{result.images} images.", ""]
        lines += [_row(_HEAD), "|" + "---|" * len(_HEAD), *map(_row, map(_cells, result.scores))]
        lines += ["", *result.notes]
        ranked_in = f"{result.layers} layers ranked in {result.search_cpu_s:.1f} CPU seconds"
        lines += ["", f"{ranked_in} ({SEARCHED} images).", ""]
    lines += section(search) if search else []
    lines.append(_PEER)
    if missing:
        lines += ["## Not measured", "", *(f"- {n}: {why}" for n, why in missing.items()), ""]
    return "\n".join(lines)


def _row(cells: Sequence[object]) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def _cells(score: Score) -> list[str]:
    numbers = (score.top1, score.top5, score.lost, score.changed)
    shown = ["–" if number is None else str(number) for number in numbers]
    return [score.form, *shown, f"{score.kl:.5f}", f"{score.cpu_s:.1f}"]


def _file(folder: Path, name: str) -> Path:
    return folder / f"{name.replace(' ', '_').replace('(', '').replace(')', '')}.json"


def _read(path: Path) -> Result:
    data = json.loads(path.read_text())
    data["scores"] = tuple(Score(**score) for score in data["scores"])
    data["notes"] = tuple(data["notes"])
    return Result(**data)


def _read_search(path: Path) -> SearchCost:
    data = json.loads(path.read_text())
    data["reached"] = tuple(Reached(**one) for one in data["reached"])
    return SearchCost(**data)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="beginnings of names; all by default")
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--brief", action="store_true", help="without the other methods")
    parser.add_argument("--search", action="store_true", help="only the cost of the search")
    parser.add_argument("--page", action="store_true", help="only write the page")
    parser.add_argument("--keep", type=Path, default=KEPT)
    options = parser.parse_args()
    options.keep.mkdir(parents=True, exist_ok=True)
    missing: dict[str, str] = {}
    search_file = options.keep / "search.json"
    if options.search:
        search_file.write_text(json.dumps(asdict(measure_search()), indent=1))
    for entry in () if options.search or options.page else CLASSIFIERS:
        if options.names and not entry.name.startswith(tuple(options.names)):
            continue
        try:
            result = measure(entry, options.images, brief=options.brief)
        except CviError as error:
            missing[entry.name] = error.why
            continue
        _file(options.keep, entry.name).write_text(json.dumps(asdict(result), indent=1))
        for score in result.scores:
            print(entry.name, *_cells(score), sep=", ", flush=True)
    files = {entry.name: _file(options.keep, entry.name) for entry in CLASSIFIERS}
    there = [_read(path) for path in files.values() if path.exists()]
    absent = {name: "not measured" for name, path in files.items() if not path.exists()}
    search = _read_search(search_file) if search_file.exists() else None
    PAGE.write_text(page(there, absent | missing, search))
    return 0


if __name__ == "__main__":
    sys.exit(main())
