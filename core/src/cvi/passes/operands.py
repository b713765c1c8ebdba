"""Reading the operands of ops: biases, and constants that are one number."""

from __future__ import annotations

from typing import TypeGuard

import numpy as np

from cvi.ir import Array, Op
from cvi.ops import Add, Div, Mul, Pow
from cvi.passes.edit import Edit


def bias_of(op: Op, edit: Edit) -> Array | None:
    """The third operand in fp64: zeros when absent, None when it is not a constant."""
    if len(op.inputs) < 3 or not op.inputs[2]:
        return np.zeros(1)
    bias = edit.constant(op.inputs[2])
    return None if bias is None else bias.astype(np.float64)


def number_of(name: str, edit: Edit) -> float | None:
    """A constant operand all of whose elements are one number, else None."""
    values = edit.constant(name)
    if values is None or not values.size or np.any(values != values.flat[0]):
        return None
    return float(values.flat[0])


def plus_number(op: Op | None, edit: Edit) -> tuple[str, float] | None:
    """Tensor and number of a sum of the two that keeps the tensor's shape."""
    if not is_sum(op):
        return None
    return _with_number(op, op.inputs, edit) or _with_number(op, op.inputs[::-1], edit)


def times_number(op: Op | None, edit: Edit) -> tuple[str, float] | None:
    """Tensor and factor of a product with a number, or of a quotient by one."""
    if isinstance(op, Div) and not op.relu:
        found = _with_number(op, op.inputs, edit)
        return (found[0], 1 / found[1]) if found and found[1] else None
    if not isinstance(op, Mul) or op.relu or len(op.inputs) != 2:
        return None
    return _with_number(op, op.inputs, edit) or _with_number(op, op.inputs[::-1], edit)


def is_power(op: Op | None, exponent: float) -> TypeGuard[Pow]:
    """Whether an op is the plain power of its operand."""
    return isinstance(op, Pow) and op.exponent == exponent


def is_sum(op: Op | None) -> TypeGuard[Add]:
    """Whether an op is the plain sum of two operands."""
    return isinstance(op, Add) and not op.relu and not op.coefficients and len(op.inputs) == 2


def _with_number(op: Op, inputs: tuple[str, ...], edit: Edit) -> tuple[str, float] | None:
    number = number_of(inputs[1], edit)
    keeps = edit.type_of(inputs[0]) == op.type
    return (inputs[0], number) if number is not None and keeps else None
