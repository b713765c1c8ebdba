"""Reading how exporters write deviations from a mean, their squares and roots."""

from __future__ import annotations

from cvi.ir import Op
from cvi.ops import Mul, Reduce, Sqrt, Sub
from cvi.passes.edit import Edit
from cvi.passes.operands import is_power


def under_root(op: Op | None) -> str:
    """v of sqrt(v), "" when it is something else."""
    return op.inputs[0] if isinstance(op, Sqrt) or is_power(op, 0.5) else ""


def under_square(op: Op | None) -> str:
    """d of d^2, which may be a Pow or a product."""
    if is_power(op, 2):
        return op.inputs[0]
    plain = isinstance(op, Mul) and not op.relu and len(op.inputs) == 2
    return op.inputs[0] if plain and op and op.inputs[0] == op.inputs[1] else ""


def less_mean(op: Op | None, axes: tuple[int, ...], edit: Edit) -> str:
    """x of x - mean(x), the mean over axes."""
    if not isinstance(op, Sub) or op.relu:
        return ""
    x, subtracted = op.inputs
    mean = edit.producer(subtracted)
    if not isinstance(mean, Reduce) or mean.method != "mean" or mean.inputs != (x,):
        return ""
    broadcasts = mean.keepdims or len(axes) == len(op.type.shape)  # the mean of all is a scalar
    return x if mean.axes == axes and broadcasts else ""
