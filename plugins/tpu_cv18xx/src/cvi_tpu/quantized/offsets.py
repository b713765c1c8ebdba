"""Which tensors are stored from -128 on instead of around 0.

What a relu leaves is never negative: around 0 it uses 128 of the 256 integers of a byte, from
-128 on all of them, in half as large steps. The hardware knows no zero points, but a
convolution does not need any: the input's goes into the bias (exactly, the weights being
integers) and into the value that pads, the result's into the bias, and saturation at -128 is
the relu. Nothing is added to a program. Only filters can read such a tensor, and what moves
elements or takes their maximum can hand it on. Layers in BF16 read and write such tensors
through casts, which add the zero and take it out.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from cvi.ir import DType, Graph, Op
from cvi.ops import Concat, Conv2d, FullyConnected, MaxPool2d, Reshape
from cvi_tpu.quantized.scales import STEPS

if TYPE_CHECKING:
    from cvi_tpu.quantized.choice import Choices
    from cvi_tpu.quantized.thresholds import Thresholds

LOWEST = -128
"""The integer that stands for 0."""

OFFSET_STEPS = 255
"""A threshold T is stored as 127 and 0 as -128: one step is T / 255."""

_HANDS_ON = (MaxPool2d, Concat, Reshape)


def offset_layers(graph: Graph, choices: Choices, thresholds: Thresholds) -> frozenset[str]:
    """The layers whose int8 results are stored from -128 on.

    Beginning with all that could be, those whose operands or readers cannot be are taken out
    until nothing changes.
    """
    users = graph.users()
    found = {op.name for op in graph.ops if _is_candidate(op, graph, choices, thresholds)}
    while True:
        kept = {
            name
            for name in found
            if _is_fed(graph[name], found)
            and users[name]
            and all(user.name in found or _reads(user, name, choices) for user in users[name])
        }
        if kept == found:
            return frozenset(found)
        found = kept


def _is_candidate(op: Op, graph: Graph, choices: Choices, thresholds: Thresholds) -> bool:
    if op.name in graph.outputs or op.type.dtype is not DType.FP32:
        return False
    if isinstance(op, Conv2d):
        return _is_source(op, graph, choices, thresholds)
    if not isinstance(op, _HANDS_ON) or not all(map(graph.get, op.inputs)):
        return False
    if not _known(thresholds, (op.name, *op.inputs)):
        return False
    own = thresholds[op.name]
    return all(math.isclose(thresholds[name], own, rel_tol=1e-6) for name in op.inputs)


def _is_source(op: Conv2d, graph: Graph, choices: Choices, thresholds: Thresholds) -> bool:
    """A convolution with a relu and nothing above its threshold. In INT8 all its channels
    have ratios below 1 (a gain behind the sums would multiply the zero point too)."""
    weight = graph.constants.get(op.inputs[1])
    precision = choices[op.name].precision
    if not op.relu or precision not in (DType.INT8, DType.BF16) or weight is None:
        return False
    if not _known(thresholds, (op.name, op.inputs[0])) or op.name in thresholds.table.weights:
        return False
    top = thresholds[op.name]
    if op.relu_max is not None and top > op.relu_max * (1 + 1e-6):
        return False
    if precision is DType.BF16:
        return True
    largest = float(np.abs(weight).max(initial=0))
    x_step, y_step = thresholds[op.inputs[0]] / STEPS, top / OFFSET_STEPS
    return largest / STEPS * x_step < 0.99 * y_step


def _known(thresholds: Thresholds, names: tuple[str, ...]) -> bool:
    return all(name in thresholds for name in names)


def _is_fed(op: Op, offsets: set[str]) -> bool:
    """Whether a layer's operands are such as it needs them for an offset result."""
    return isinstance(op, Conv2d) or all(name in offsets for name in op.inputs)


def _reads(user: Op, name: str, choices: Choices) -> bool:
    """Whether a layer can read an offset tensor and give one that is none."""
    filters = isinstance(user, (Conv2d, FullyConnected))
    precisions = (DType.INT8, DType.BF16)
    return filters and user.inputs.count(name) == 1 and choices[user.name].precision in precisions
