"""Which tensors are stored from -128 on instead of around 0.

What a relu leaves is never negative: around 0 it uses 128 of the 256 integers of a byte, from
-128 on all of them, in half as large steps. The hardware knows no zero points, but a
convolution does not need any: the input's goes into the bias (exactly, the weights being
integers) and into the value that pads, the result's into the bias, and saturation at -128 is
the relu: nothing is added to a program. Sums have no bias; one instruction more adds the zeros.
Only filters and sums can read such a tensor, and what moves elements or takes their maximum
can hand it on. Layers in BF16 read and write such tensors through casts, which add the zero
and take it out.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from cvi.ir import DType, Graph, Op
from cvi.ops import Add, BatchNorm, Concat, Conv2d, FullyConnected, MaxPool2d, Reshape, Scale
from cvi_tpu.quantized.scales import OFFSET_STEPS, STEPS

if TYPE_CHECKING:
    from cvi_tpu.quantized.choice import Choices
    from cvi_tpu.quantized.thresholds import Thresholds

_Filter = Conv2d | FullyConnected | Scale
"""What can give such a tensor: layers of weights at their second operand. BatchNorm is another
reader, but has no relu."""

_HANDS_ON = (MaxPool2d, Concat, Reshape)

_MOST_RATIO = 32.0
"""Steps of all operands together in one step of a sum: few enough for zeros to fit int16."""


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
            and all(
                user.name in found or _reads(user, name, choices, thresholds)
                for user in users[name]
            )
        }
        if kept == found:
            return frozenset(found)
        found = kept


def _is_candidate(op: Op, graph: Graph, choices: Choices, thresholds: Thresholds) -> bool:
    if op.name in graph.outputs or op.type.dtype is not DType.FP32:
        return False
    if isinstance(op, _Filter | Add):
        return _is_source(op, graph, choices, thresholds)
    if not isinstance(op, _HANDS_ON) or not all(map(graph.get, op.inputs)):
        return False
    if not _known(thresholds, (op.name, *op.inputs)):
        return False
    own = thresholds[op.name]
    return all(math.isclose(thresholds[name], own, rel_tol=1e-6) for name in op.inputs)


def _is_source(op: _Filter | Add, graph: Graph, choices: Choices, thresholds: Thresholds) -> bool:
    """A filter or a sum with a relu and nothing above its threshold, which in INT8 can add
    zeros to its result."""
    if not op.relu or op.name not in thresholds or not _on_tpu(op, choices):
        return False
    if op.relu_max is not None and thresholds[op.name] > op.relu_max * (1 + 1e-6):
        return False
    if isinstance(op, Add):
        return _adds_zeros(op, choices, thresholds)
    return _is_small(op, graph, choices, thresholds)


def _on_tpu(op: Op, choices: Choices) -> bool:
    return choices[op.name].precision in (DType.INT8, DType.BF16)


def _adds_zeros(op: Add, choices: Choices, thresholds: Thresholds) -> bool:
    """Whether a sum can take zeros out of its operands, or add one to its result."""
    if choices[op.name].precision is DType.BF16:
        return True
    if not _known(thresholds, (op.name, *op.inputs)):
        return False
    step = thresholds[op.name] / OFFSET_STEPS
    steps = zip(op.weights, op.inputs, strict=True)
    return sum(abs(w) * thresholds[x] / STEPS for w, x in steps) <= _MOST_RATIO * step


def _is_small(op: _Filter, graph: Graph, choices: Choices, thresholds: Thresholds) -> bool:
    """Whether all channels of a filter in INT8 have ratios below 1: a gain behind the sums
    would multiply the zero point too."""
    weight = graph.constants.get(op.inputs[1])
    if weight is None or op.inputs[0] not in thresholds or op.name in thresholds.table.weights:
        return False
    if choices[op.name].precision is DType.BF16:
        return True
    top = thresholds[op.name]
    largest = float(np.abs(weight).max(initial=0))
    x_step, y_step = thresholds[op.inputs[0]] / STEPS, top / OFFSET_STEPS
    return largest / STEPS * x_step < 0.99 * y_step


def _known(thresholds: Thresholds, names: tuple[str, ...]) -> bool:
    return all(name in thresholds for name in names)


def _is_fed(op: Op, offsets: set[str]) -> bool:
    """Whether a layer's operands are such as it needs them for an offset result."""
    return isinstance(op, _Filter | Add) or all(name in offsets for name in op.inputs)


def _reads(user: Op, name: str, choices: Choices, thresholds: Thresholds) -> bool:
    """Whether a layer can read an offset tensor and give one that is none."""
    if not isinstance(user, _Filter | BatchNorm | Add) or not _on_tpu(user, choices):
        return False
    if isinstance(user, Add):
        return _adds_zeros(user, choices, thresholds)
    return user.inputs.count(name) == 1
