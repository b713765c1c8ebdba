"""Arithmetic with one value per channel is a scale."""

from __future__ import annotations

import numpy as np

from cvi.ir import Array, DType, Op, TensorType
from cvi.ops import Add, Div, Mul, Scale, Sub
from cvi.ops.norm import channels
from cvi.passes.base import RewritePass
from cvi.passes.edit import Edit, Replacement


class ArithmeticToScale(RewritePass):
    """Add (coefficients included), Sub, Mul or Div of a tensor and a constant becomes Scale.

    The constant has one element or one per channel (axis 1): shapes like [], [1],
    [C,1,1], [1,C,1,1]. Division by a constant multiplies by its reciprocal; constants
    that contain a zero, and constants divided by the tensor, are left alone.
    """

    name = "arithmetic-to-scale"

    def rewrite(self, op: Op, edit: Edit) -> Replacement:
        if not isinstance(op, (Add, Sub, Mul, Div)) or len(op.inputs) != 2:
            return None
        first, second = (edit.constant(name) for name in op.inputs)
        if (first is None) == (second is None):
            return None
        x = op.inputs[0] if first is None else op.inputs[1]
        constant = second if first is None else first
        assert constant is not None
        values = channel_values(constant, edit.type_of(x))
        if values is None or op.type != edit.type_of(x) or op.type.dtype is not DType.FP32:
            return None
        factors = _scale_and_bias(op, values, constant_first=first is not None)
        if factors is None:
            return None
        s = edit.add_constant(f"{op.name}_scale", factors[0])
        b = edit.add_constant(f"{op.name}_bias", factors[1]) if np.any(factors[1]) else ""
        return Scale(
            name=op.name, inputs=(x, s, b), source=op.source, relu=op.relu, relu_max=op.relu_max
        )


def channel_values(constant: Array, x: TensorType) -> Array | None:
    """The constant as one value per channel of x (fp64); None when it is not of that form."""
    if constant.ndim > len(x.shape) and constant.size != 1:
        return None
    count = channels(x)
    if constant.size == 1:
        return np.full(count, constant.ravel()[0], np.float64)
    shape = (1,) * (len(x.shape) - constant.ndim) + constant.shape
    if len(shape) < 2 or shape != (1, count, *(1,) * (len(shape) - 2)):
        return None
    return constant.reshape(-1).astype(np.float64)


def _scale_and_bias(op: Op, values: Array, *, constant_first: bool) -> tuple[Array, Array] | None:
    one, zero = np.ones_like(values), np.zeros_like(values)
    if isinstance(op, Add):
        first, second = op.weights
        factor, weight = (second, first) if constant_first else (first, second)
        return factor * one, weight * values
    if isinstance(op, Sub):
        return (-one, values) if constant_first else (one, -values)
    if isinstance(op, Mul):
        return values, zero
    if constant_first or not np.all(values):
        return None
    return 1 / values, zero
