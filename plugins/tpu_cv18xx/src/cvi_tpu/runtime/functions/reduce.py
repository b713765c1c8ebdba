"""Reductions and running sums.

The vendor's functions take the 8-bit types as uint8: -1 is 255 to them.
"""

from __future__ import annotations

from math import prod

import numpy as np

from cvi.errors import ModelError
from cvi.ir.types import Array, DType
from cvi_tpu.model.arguments import Ints
from cvi_tpu.runtime.functions.call import Call
from cvi_tpu.runtime.functions.registry import cpu_function

_BYTES = (DType.INT8, DType.UINT8)


@cpu_function("cumsum")
def cumsum(call: Call) -> list[Array]:
    """Running sum along an axis, in fp32."""
    x = call.fp32(0)
    call.fills(x.size)
    return [np.cumsum(x, axis=call.axis(), dtype=np.float32)]


@cpu_function("cpu_reduce_max")
def reduce_max(call: Call) -> list[Array]:
    """Maximum along the first of `axes`; the others are ignored (vendor's fault)."""
    x, dtype, axes = _operand(call)
    axis = axes[0]
    call.fills(x.size // x.shape[axis], dtype)
    largest = x.take(0, axis)
    for i in range(1, x.shape[axis]):  # in this order, as NaN is never the larger one
        row = x.take(i, axis)
        largest = np.where(row < largest, largest, row)
    return [largest.view(dtype.numpy)]


def _operand(call: Call) -> tuple[Array, DType, tuple[int, ...]]:
    """The input, 8 bits as uint8, its element type, and the axes."""
    operand = call.operand(0, DType.FP32, *_BYTES)
    axes = call.argument("axes", Ints).values
    if not axes or not all(0 <= axis < 4 for axis in axes):
        raise ModelError(f"argument 'axes' is {axes}; a CPU function has axes 0 to 3")
    x = operand.values.view(np.uint8) if operand.dtype in _BYTES else operand.values
    return x, operand.dtype, axes


@cpu_function("cpu_reduce_mean")
def reduce_mean(call: Call) -> list[Array]:
    """Mean along `axes`, one axis after the other.

    fp32: a sequential fp32 sum, divided by the length. 8 bits: the sum wraps at 256 before
    it is divided, the quotient is cut.
    """
    x, dtype, axes = _operand(call)
    for axis in _filling(call, x, axes, dtype):
        total = np.cumsum(x, axis=axis, dtype=x.dtype).take([-1], axis)
        length = x.shape[axis]
        x = total / np.float32(length) if dtype is DType.FP32 else total.astype(np.int64) // length
        x = x.astype(total.dtype)
    return [x.view(dtype.numpy)]


@cpu_function("reduce_l2")
def reduce_l2(call: Call) -> list[Array]:
    """Root of the sum of squares along `axes`, one axis after the other.

    fp32: the square in double precision is added to an fp32 sum. 8 bits: sums wrap at 256
    after every addition, roots are cut.
    """
    x, dtype, axes = _operand(call)
    for axis in _filling(call, x, axes, dtype):
        total = np.zeros_like(x.take([0], axis))
        for i in range(x.shape[axis]):
            row = x.take([i], axis).astype(np.float64)
            total = _narrowed(total + row * row, x.dtype)
        x = _narrowed(np.sqrt(total), x.dtype)
    return [x.view(dtype.numpy)]


def _filling(call: Call, x: Array, axes: tuple[int, ...], dtype: DType) -> tuple[int, ...]:
    """The axes, once the output has the right size."""
    shape = [1 if axis in axes else size for axis, size in enumerate(x.shape)]
    call.fills(prod(shape), dtype)
    return axes


def _narrowed(value: Array, dtype: np.dtype[np.generic]) -> Array:
    """Back to the element type, integers cut and wrapped."""
    if dtype == np.float32:
        return value.astype(np.float32)
    return value.astype(np.int32).astype(np.uint8)
