"""How far the fast evaluator of BF16 graphs, with which accuracy is measured and layers are
searched, is from the exact one, which programs equal byte for byte."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from time import process_time

import numpy as np
from benchmarks.accuracy.bench import Bench
from benchmarks.accuracy.catalogue import classifiers
from benchmarks.accuracy.scores import divergence

from cvi.compare import compare_tensors
from cvi.execute import evaluate
from cvi.flow.real import quantised_inputs, real_values
from cvi.ir import Array, Graph

NETWORKS = ("mobilenet_v1_0.25_128 (ONNX)", "resnet20_cifar10", "squeezenet", "mobilenet_v2 (ONNX)")
IMAGES = 10

Values = dict[str, Array]


@dataclass(frozen=True)
class Distance:
    """Of one network in BF16, exact against fast.

    elements: of all layers' results; differ: how many are another number. cosine: the least
    of an output; kl: mean divergence of the class probabilities; changed: images with another
    best class. exact_s, fast_s: CPU seconds of an image.
    """

    network: str
    images: int
    elements: int
    differ: int
    cosine: float
    kl: float
    changed: int
    exact_s: float
    fast_s: float


def measure_fast() -> list[Distance]:
    """All networks, on the first images of the labelled ones."""
    return [_distance(Bench(entry, IMAGES)) for entry in classifiers(NETWORKS)]


def _distance(bench: Bench) -> Distance:
    graph = bench.quantised(None, "bf16")
    exact, exact_s = _run(graph, bench.images, exact=True)
    fast, fast_s = _run(graph, bench.images, exact=False)
    pairs = list(zip(exact, fast, strict=True))
    scores = [(_scores(graph, a), _scores(graph, b)) for a, b in pairs]
    return Distance(
        network=bench.entry.name,
        images=len(pairs),
        elements=sum(array.size for values in exact for array in values.values()),
        differ=sum(int((a[name] != b[name]).sum()) for a, b in pairs for name in a),
        cosine=min(compare_tensors(b, a).cosine for a, b in scores),
        kl=float(np.mean([divergence(a, b) for a, b in scores])),
        changed=sum(int(a.argmax()) != int(b.argmax()) for a, b in scores),
        exact_s=exact_s / len(pairs),
        fast_s=fast_s / len(pairs),
    )


def _run(graph: Graph, images: Sequence[Values], *, exact: bool) -> tuple[list[Values], float]:
    """All layers' results for every image, and the CPU seconds."""
    start = process_time()
    found = [
        evaluate(graph, quantised_inputs(graph, image), keep=True, exact=exact) for image in images
    ]
    return found, process_time() - start


def _scores(graph: Graph, values: Values) -> Array:
    return real_values(graph, values)[graph.outputs[0]]


_SAID = f"""\
The exact meaning of a BF16 layer has the order of the hardware's sums. For accuracy and for the
search they are taken in any order, in fp32, and results are rounded to BF16 as exactly. Both on
the same {IMAGES} images: **differ** are elements of all layers that are another number, **changed**
images of another best class; CPU seconds are those of an image.
""".splitlines()


def fast_section(found: Sequence[Distance]) -> Iterator[str]:
    """The part of the page."""
    if not found:
        return
    yield from ("## The fast evaluator", "")
    yield from _SAID
    yield ""
    yield "| network | elements | differ | cosine | KL | changed | exact CPU s | fast CPU s |"
    yield "|---|---|---|---|---|---|---|---|"
    for one in found:
        share = f"{100 * one.differ / one.elements:.1f} %"
        seconds = f"{one.exact_s:.2f} | {one.fast_s:.2f}"
        numbers = f"{one.cosine:.6f} | {one.kl:.6f} | {one.changed} of {one.images}"
        yield f"| {one.network} | {one.elements:,} | {share} | {numbers} | {seconds} |"
    yield ""
