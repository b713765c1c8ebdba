"""The rounding of the weights of a quantised network, learned from images.

All images go through the network together, layer by layer. What arrives at a filter, with the
rounding errors of all layers before it, says how its weights are best rounded (`rounding`);
then it is computed with these. Scales and instructions stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Protocol

import numpy as np

from cvi.flow.real import quantised_inputs
from cvi.ir import Array, Graph
from cvi.walk import Walk, images_at_once
from cvi_tpu.quantized import bf16
from cvi_tpu.quantized.ops import Bf16Conv2d
from cvi_tpu.quantized.patches import Conv, moments
from cvi_tpu.quantized.rounding import Roundings, least_error

if TYPE_CHECKING:
    from cvi.flow.progress import Progress

MANY = 1 << 20
"""More samples than fit into memory."""

_LARGEST = 1 << 22
"""Elements of the matrix of mean products of a layer: 32 MiB, a few times at once."""

_STEPS = 127.0


class Learner(Protocol):
    """A real filter whose weights can be rounded in two ways each."""

    @property
    def weight(self) -> Array:
        """The real weights [oc, ic/group, ...]."""

    def roundings(self) -> Roundings:
        """Both ways, in a unit in which results are sums."""

    def centre(self, mean: Array) -> Array:
        """The pixels [g, k] around which errors count; mean: of what is seen."""

    def learned(self, weight: Array, mean: Array) -> tuple[Array, Array | None]:
        """The stored weights and bias for a rounding, and the mean of the real pixels."""


def learn_rounding(
    graph: Graph,
    filters: Mapping[str, Learner],
    samples: Iterable[Mapping[str, Array]],
    progress: Progress,
    most: int = MANY,
) -> Graph:
    """The quantised graph with weights and biases for rounding by what it does to samples.

    filters: by the name of their weights, which the graph holds rounded to nearest. samples:
    arrays by input name of the float graph; the first ones are used, as many as fit into
    1 GiB and at most `most`. A filter that stays as it is becomes a note.
    """
    graph = graph.replace()
    found = _learnable(graph, filters, progress)
    if not found:
        return graph
    most = min(most, images_at_once(graph))
    walk = Walk(graph, [quantised_inputs(graph, sample) for sample in islice(samples, most)])
    left = dict(found)
    for op in walk.ahead():
        if isinstance(op, Conv) and op.name in left:
            inputs = [values[op.inputs[0]] for values in walk.live]
            _round(graph, op, left.pop(op.name), inputs)
            progress.step(len(found) - len(left), len(found))
        if not left:
            break
    progress.note(f"rounding of {len(found)} filters learned from {len(walk.live)} samples")
    return graph


def _round(graph: Graph, conv: Conv, source: Learner, inputs: Sequence[Array]) -> None:
    """Replace weights and bias of a convolution by those that suit its inputs best."""
    channels, _, kh, kw = source.weight.shape
    scale = 1.0
    if isinstance(conv, Bf16Conv2d):
        inputs, scale = _in_steps(inputs)
    seen = moments(conv, (kh, kw), inputs)
    both = source.roundings().reshape(conv.group, channels // conv.group, -1)
    chosen = least_error(both, seen.around(source.centre(seen.mean)))
    weight, bias = source.learned(chosen.reshape(source.weight.shape), seen.mean * scale)
    graph.constants[conv.inputs[1]] = weight
    if bias is not None:
        graph.constants[conv.inputs[2]] = bias


def _in_steps(inputs: Sequence[Array]) -> tuple[list[Array], float]:
    """BF16 tensors as int8, which is exact enough for sums of products, and one step."""
    numbers = [np.nan_to_num(bf16.decode(x), posinf=0.0, neginf=0.0) for x in inputs]
    scale = max(float(np.abs(x).max(initial=0)) for x in numbers) / _STEPS or 1.0
    return [np.rint(x / np.float32(scale)).astype(np.int8) for x in numbers], scale


def _learnable(
    graph: Graph, filters: Mapping[str, Learner], progress: Progress
) -> dict[str, Learner]:
    """By the name of the convolution, the filters that can be rounded otherwise."""
    uses = graph.use_counts()
    found = {}
    for op in graph:
        if not isinstance(op, Conv) or op.inputs[1] not in filters:
            continue
        source = filters[op.inputs[1]]
        reason = _obstacle(op, source, [uses[name] for name in op.inputs[1:3] if name])
        if reason:
            progress.note(f"{op.name}: weights are rounded to nearest, for {reason}")
        else:
            found[op.name] = source
    return found


def _obstacle(op: Conv, source: Learner, uses: list[int]) -> str:
    """What keeps a filter from being rounded otherwise, "" when nothing does."""
    size = source.weight[0].size
    if op.group * size**2 > _LARGEST:
        return f"a filter of {size} weights is too large to learn"
    return "several layers share them" if max(uses) > 1 else ""
