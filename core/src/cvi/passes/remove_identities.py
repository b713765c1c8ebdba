"""Remove ops that change nothing."""

from __future__ import annotations

import math

import numpy as np

from cvi.ir import Array, Op
from cvi.ops import (
    AvgPool2d,
    Clip,
    Concat,
    MaxPool2d,
    Pad,
    Permute,
    PixelShuffle,
    Reshape,
    Resize,
    Reverse,
    Scale,
    Slice,
    Tile,
    Upsample,
)
from cvi.passes.base import RewritePass
from cvi.passes.edit import Alias, Edit, Replacement


class RemoveIdentities(RewritePass):
    """An op whose result is its operand is removed and its users read the operand.

    Reshape to the same shape, Permute in order, Slice of everything, Reverse of one element,
    Pad by nothing, Tile, Upsample and PixelShuffle by one, Concat of one tensor, Resize to the same
    pixels, pools of one pixel, Clip without limits, Scale by 1 plus 0. A network output
    hands its name to the op before it; when that is not possible the op stays.
    """

    name = "remove-identities"

    def rewrite(self, op: Op, edit: Edit) -> Replacement:
        return Alias(op.inputs[0]) if _changes_nothing(op, edit) else None


def _changes_nothing(op: Op, edit: Edit) -> bool:
    if isinstance(op, Scale):
        return _is_unit_scale(op, edit)
    if isinstance(op, Concat):
        return len(op.inputs) == 1
    if isinstance(op, Clip):
        return op.minimum == -math.inf and op.maximum == math.inf
    if not isinstance(op, _KEEP_SHAPE) or edit.type_of(op.inputs[0]).shape != op.type.shape:
        return False
    if isinstance(op, Permute):
        return op.order == tuple(range(len(op.order)))
    if isinstance(op, Reverse):
        return op.type.shape[op.axis] == 1
    if isinstance(op, Resize):
        return all(_keeps_pixels(op, axis, op.type.shape[2 + axis]) for axis in (0, 1))
    if isinstance(op, (MaxPool2d, AvgPool2d)):
        unchanged = op.kernel == op.stride == (1, 1) and not any(op.pads)
        return unchanged and not (isinstance(op, AvgPool2d) and op.relu)
    if isinstance(op, Slice):
        return all(step == 1 for step, n in zip(op.steps, op.sizes, strict=True) if n > 1)
    return True


_KEEP_SHAPE = (
    Reshape, Permute, Slice, Reverse, Pad, Tile, Upsample, PixelShuffle, Resize, MaxPool2d,
    AvgPool2d,
)  # fmt: skip


def _is_unit_scale(op: Scale, edit: Edit) -> bool:
    scale, bias = (edit.constant(name) for name in (*op.inputs, "")[1:3])
    if op.relu or scale is None or (bias is None and len(op.inputs) > 2 and op.inputs[2]):
        return False
    return bool(np.all(scale == 1)) and (bias is None or not np.any(bias))


def _keeps_pixels(op: Resize, axis: int, length: int) -> bool:
    """Every result pixel along the axis is the source pixel of the same index."""
    pixels: Array = np.arange(length)
    if op.mode == "nearest":
        return np.array_equal(op.nearest(axis, length), pixels)
    lower, upper, weight = op.neighbours(axis, length)
    exact = np.where(weight == 0, lower, np.where(weight == 1, upper, -1))
    return np.array_equal(exact, pixels)
