"""Padding that the next op can do itself."""

from __future__ import annotations

import numpy as np

from cvi.ir import Graph, Op
from cvi.ops import (
    Abs,
    AvgPool2d,
    Clip,
    Conv2d,
    HardSigmoid,
    MaxPool2d,
    Movement,
    Pad,
    PoolMask,
    Relu,
    Sigmoid,
    Softmax,
    Sqrt,
    SquarePower,
    Std,
)
from cvi.ops.windows import Pads
from cvi.passes.base import RewritePass
from cvi.passes.edit import Edit, Replacement

PAD_LIMIT = 15
_LOWEST = float(np.finfo(np.float32).min)
_Windowed = (Conv2d, MaxPool2d, AvgPool2d)


class FusePads(RewritePass):
    """A constant Pad of height and width goes into the pads of all its users.

    Every user must be able to take it, with no pad above 15 (the instruction's field):
    Conv2d for value 0; MaxPool2d when the padding can never win, or wins only against
    nothing (value 0 beside non-negative pixels); AvgPool2d for value 0 when its own
    padding is counted too.
    """

    name = "fuse-pads"

    def rewrite(self, op: Op, edit: Edit) -> Replacement:
        if not isinstance(op, _Windowed):
            return None
        pad = edit.producer(op.inputs[0])
        if not isinstance(pad, Pad) or not _is_spatial(pad) or pad.name in edit.graph.outputs:
            return None
        users = edit.original.users()[pad.name]
        if not all(_can_take(user, pad, edit.original) for user in users):
            return None
        return _padded(op, pad).with_(inputs=(pad.inputs[0], *op.inputs[1:]))


def _is_spatial(pad: Pad) -> bool:
    no_others = not any(pad.before[:2]) and not any(pad.after[:2])
    return pad.mode == "constant" and len(pad.before) == 4 and no_others


def _pads(op: Conv2d | MaxPool2d | AvgPool2d, pad: Pad) -> Pads:
    """The user's own pads plus those of the Pad."""
    added = (*pad.before[2:], *pad.after[2:])
    top, left, bottom, right = (a + b for a, b in zip(op.pads, added, strict=True))
    return top, left, bottom, right


def _padded(op: Conv2d | MaxPool2d | AvgPool2d, pad: Pad) -> Op:
    if isinstance(op, Conv2d):
        return op.with_(pads=_pads(op, pad), pad_value=0.0)
    if isinstance(op, AvgPool2d):
        return op.with_(pads=_pads(op, pad), count_include_pad=True)
    return op.with_(pads=_pads(op, pad))


def _can_take(op: Op, pad: Pad, graph: Graph) -> bool:
    if not isinstance(op, _Windowed) or op.inputs.count(pad.name) > 1:
        return False
    if op.inputs[0] != pad.name or max(_pads(op, pad)) > PAD_LIMIT:
        return False
    if isinstance(op, Conv2d):
        return pad.value == 0 and (op.pad_value == 0 or not any(op.pads))
    if isinstance(op, AvgPool2d):
        return pad.value == 0 and (op.count_include_pad or not any(op.pads))
    return pad.value <= _LOWEST or _wins_against_nothing(op, pad, graph)


def _wins_against_nothing(op: MaxPool2d, pad: Pad, graph: Graph) -> bool:
    """Zeros beside non-negative pixels; every window must hold at least one pixel."""
    inside = all(p < op.kernel[i % 2] for i, p in enumerate(_pads(op, pad)))
    plain = pad.value == 0 and op.dilation == (1, 1) and inside
    return plain and is_non_negative(pad.inputs[0], graph)


def is_non_negative(name: str, graph: Graph) -> bool:
    """Whether a tensor provably has no negative element."""
    pending = [name]
    while pending:
        current = pending.pop()
        op = graph.get(current)
        if op is None:
            if not np.all(graph.constants[current] >= 0):
                return False
        elif _clamps_at_zero(op):
            continue
        elif isinstance(op, (Movement, MaxPool2d, AvgPool2d)) and not _adds_negative(op):
            pending.extend(op.inputs)
        else:
            return False
    return True


def _adds_negative(op: Op) -> bool:
    return isinstance(op, Pad) and op.mode == "constant" and op.value < 0


def _clamps_at_zero(op: Op) -> bool:
    """Whether the op's results are never negative, whatever it reads."""
    if getattr(op, "relu", False) is True:
        return True
    if isinstance(op, Sigmoid):
        return op.scale >= 0 and op.bias >= 0
    if isinstance(op, Clip):
        return op.minimum >= 0
    if isinstance(op, Softmax):
        return not op.log
    return isinstance(op, (Relu, Abs, Sqrt, HardSigmoid, PoolMask, SquarePower, Std))
