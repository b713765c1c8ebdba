"""A resize that only repeats or only leaves out pixels moves elements."""

from __future__ import annotations

import numpy as np

from cvi.ir import Array, Op
from cvi.ops import Resize, Slice, Upsample
from cvi.passes.base import RewritePass
from cvi.passes.edit import Edit, Replacement


class ResizeToUpsample(RewritePass):
    """A Resize whose every result pixel is one source pixel becomes

    1. Upsample, when each is repeated factor times in order (also a linear resize of a
       single pixel);
    2. Slice, when they are taken in equal steps.
    """

    name = "resize-to-upsample"
    requires = ("remove-identities",)

    def rewrite(self, op: Op, edit: Edit) -> Replacement:
        if not isinstance(op, Resize):
            return None
        x = edit.type_of(op.inputs[0]).shape
        rows, columns = (_source_pixels(op, axis, x[2 + axis]) for axis in (0, 1))
        if rows is None or columns is None or op.size == x[2:]:
            return None
        factors = _factor(rows, x[2]), _factor(columns, x[3])
        if factors[0] and factors[1]:
            return Upsample(name=op.name, inputs=op.inputs, source=op.source, factors=factors)
        steps = _step(rows), _step(columns)
        if not steps[0] or not steps[1]:
            return None
        return Slice(
            name=op.name,
            inputs=op.inputs,
            source=op.source,
            starts=(0, 0, int(rows[0]), int(columns[0])),
            sizes=(*x[:2], *op.size),
            steps=(1, 1, *steps),
        )


def _source_pixels(op: Resize, axis: int, length: int) -> Array | None:
    """The source index of every result pixel along one axis; None where they are mixed."""
    if op.mode == "nearest":
        return op.nearest(axis, length)
    lower, upper, weight = op.neighbours(axis, length)
    return lower if np.all((weight == 0) | (lower == upper)) else None


def _factor(pixels: Array, length: int) -> int:
    """How often each pixel is repeated; 0 when it is something else."""
    factor = len(pixels) // length
    repeated = np.repeat(np.arange(length), factor)
    return factor if np.array_equal(pixels, repeated) else 0


def _step(pixels: Array) -> int:
    """The equal distance of ascending pixels; 0 when it is something else."""
    steps = set(np.diff(pixels).tolist()) or {1}
    return max(min(steps), 0) if len(steps) == 1 else 0
