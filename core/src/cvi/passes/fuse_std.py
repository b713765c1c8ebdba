"""Standard deviations that exporters write as arithmetic."""

from __future__ import annotations

import math

from cvi.ir import Op
from cvi.ops import Reduce, Reshape, Std
from cvi.ops.reduce import reduced
from cvi.passes.base import RewritePass
from cvi.passes.deviations import less_mean, under_root, under_square
from cvi.passes.edit import Edit, Replacement
from cvi.passes.operands import times_number

_CLOSE = 1e-6
"""How far off fp32 constants like n / (n - 1) may be, relative to n."""


class FuseStd(RewritePass):
    """sqrt(mean((x - mean)^2) * factor), both means over the same dimensions, becomes a Std.

    1. The square may be a Pow or a product, the outer mean a sum;
    2. of factors there may be none or several, divisors too, and a Reshape between them:
       together they tell the correction, which is a whole number where it is close to one.
       A factor that no correction from 0 to n - 1 gives is left alone.
    """

    name = "fuse-std"

    def rewrite(self, op: Op, edit: Edit) -> Replacement:
        variance = under_root(op)
        if not variance:
            return None
        reduce, factor = _scaled(variance, edit)
        if not isinstance(reduce, Reduce) or reduce.method not in ("mean", "sum"):
            return None
        deviation = under_square(edit.producer(reduce.inputs[0]))
        x = less_mean(edit.producer(deviation), reduce.axes, edit) if deviation else ""
        return _std(op, x, reduce, factor, edit) if x else None


def _scaled(name: str, edit: Edit) -> tuple[Op | None, float]:
    """What is behind factors and Reshapes, and the product of the factors."""
    op, factor = edit.producer(name), 1.0
    while True:
        scaled = times_number(op, edit)
        if scaled is not None:
            name, factor = scaled[0], factor * scaled[1]
        elif isinstance(op, Reshape):
            name = op.inputs[0]
        else:
            return op, factor
        op = edit.producer(name)


def _std(op: Op, x: str, reduce: Reduce, factor: float, edit: Edit) -> Replacement:
    shape, axes = edit.type_of(x).shape, reduce.axes
    count = math.prod(shape[i] for i in axes)
    correction = _correction(count, factor if reduce.method == "mean" else factor * count)
    if correction is None or not axes:
        return None
    std = Std(name=op.name, inputs=(x,), axes=axes, correction=correction, source=op.source)
    for keepdims in (reduce.keepdims, not reduce.keepdims):
        if op.type.shape == reduced(shape, axes, keepdims):
            return std.with_(keepdims=keepdims)
    name = edit.fresh(f"{op.name}_std")
    return [
        std.with_(name=name, source=""),
        Reshape(name=op.name, inputs=(name,), shape=op.type.shape, source=op.source),
    ]


def _correction(count: int, factor: float) -> float | None:
    """c of factor = count / (count - c), None where it is not in [0, count)."""
    if factor <= 0:
        return None
    exact = count - count / factor
    near = round(exact)
    correction = float(near) if abs(exact - near) <= count * _CLOSE else exact
    return correction if 0 <= correction < count else None
