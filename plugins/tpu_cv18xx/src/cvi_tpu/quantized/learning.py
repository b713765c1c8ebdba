"""The rounding of all weights of a quantised network, learned from images.

All images go through the network together, layer by layer. What arrives at a filter, with the
rounding errors of all layers before it, says how its weights are best rounded (`rounding`);
then it is computed with these. Scales and instructions stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from cvi.flow.real import quantised_inputs
from cvi.ir import Array, Graph, Op
from cvi.walk import Walk, live_bytes
from cvi_tpu.quantized.ops import Int8Conv2d
from cvi_tpu.quantized.patches import Moments, moments
from cvi_tpu.quantized.rounding import least_error
from cvi_tpu.quantized.weights import RealFilter

if TYPE_CHECKING:
    from cvi.flow.progress import Progress

_MEMORY = 1 << 30
"""Bytes of the tensors of all images together."""

_LARGEST = 1 << 26
"""Elements of the matrix of mean products of a layer: 512 MiB, a few times at once."""


def learn_rounding(
    graph: Graph,
    filters: Mapping[str, RealFilter],
    samples: Iterable[Mapping[str, Array]],
    progress: Progress,
) -> Graph:
    """The quantised graph with weights and biases for rounding by what it does to samples.

    filters: by the name of their weights, which the graph holds rounded to nearest. samples:
    arrays by input name of the float graph; as many are used as fit into 1 GiB. A filter that
    stays as it is becomes a note.
    """
    graph = graph.replace()
    found = _learnable(graph, filters, progress)
    most = max(1, _MEMORY // max(live_bytes(graph), 1))
    walk = Walk(graph, [quantised_inputs(graph, sample) for sample in islice(samples, most)])
    left = dict(found)
    for op in walk.ahead():
        if op.name in left and isinstance(op, Int8Conv2d):
            inputs = [values[op.inputs[0]] for values in walk.live]
            _round(graph, op, left.pop(op.name), inputs)
            progress.step(len(found) - len(left), len(found))
        if not left:
            break
    progress.note(f"rounding of {len(found)} filters learned from {len(walk.live)} samples")
    return graph


def _round(graph: Graph, conv: Int8Conv2d, source: RealFilter, inputs: list[Array]) -> None:
    """Replace weights and bias of a convolution by those that suit its inputs best."""
    channels, _, kh, kw = source.weight.shape
    seen = moments(conv, (kh, kw), inputs)
    steps = source.steps().reshape(conv.group, channels // conv.group, -1)
    weight = least_error(steps, seen.around(centre(conv, source, seen)))
    made = source.rounded(weight.reshape(source.weight.shape))
    graph.constants[conv.inputs[1]] = made.weight
    if made.bias is not None:
        graph.constants[conv.inputs[2]] = made.bias


def centre(conv: Int8Conv2d, source: RealFilter, seen: Moments) -> Array:
    """The integers [g, k] for which the result has no error: those of the means, which the
    bias corrects, else of 0."""
    if source.means is None:
        return np.full(seen.sums.shape, float(source.x_zero))
    means = source.means / source.x_scale + source.x_zero
    groups, size = seen.sums.shape
    return np.repeat(means.reshape(groups, -1), size // (len(means) // groups), axis=1)


def _learnable(
    graph: Graph, filters: Mapping[str, RealFilter], progress: Progress
) -> dict[str, RealFilter]:
    """By the name of the convolution, the filters that can be rounded otherwise."""
    uses = graph.use_counts()
    found = {}
    for op in graph:
        source = filters.get(op.inputs[1]) if isinstance(op, Int8Conv2d) else None
        if source is None:
            continue
        reason = _obstacle(op, source, [uses[name] for name in op.inputs[1:3] if name])
        if reason:
            progress.note(f"{op.name}: weights are rounded to nearest, for {reason}")
        else:
            found[op.name] = source
    return found


def _obstacle(op: Op, source: RealFilter, uses: list[int]) -> str:
    """What keeps a filter from being rounded otherwise, "" when nothing does."""
    assert isinstance(op, Int8Conv2d)
    size = source.weight[0].size
    if op.group * size**2 > _LARGEST:
        return f"a filter of {size} weights is too large to learn"
    return "several layers share them" if max(uses) > 1 else ""
