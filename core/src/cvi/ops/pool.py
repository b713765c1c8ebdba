"""Pooling."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cvi.ir import Array, DType, Op, TensorType
from cvi.ops.check import Types, floats, not_negative, operands, rank, require
from cvi.ops.clamp import clamp
from cvi.ops.windows import Pads, Pair, extent, output_size, pad2d


@dataclass(frozen=True, kw_only=True)
class MaxPool2d(Op):
    """Maximum over windows of x[n,c,h,w]; padding never wins.

    pads: (top, left, bottom, right); ceil_mode is resolved into larger bottom and
    right pads by the frontend, so the output size is always the floor formula.
    """

    kernel: Pair
    stride: Pair = (1, 1)
    pads: Pads = (0, 0, 0, 0)
    dilation: Pair = (1, 1)

    def infer(self, inputs: Types) -> TensorType:
        (x,) = operands(self, inputs, 1)
        require(self, x.dtype is not DType.BF16, "compares numbers, not BF16 bit patterns")
        n, c, h, w = rank(self, x, 4)
        size = output_size(self, (h, w), self.kernel, self.stride, self.pads, self.dilation)
        return x.with_shape((n, c, *size))

    def evaluate(self, *inputs: Array | None) -> Array:
        (x,) = inputs
        assert x is not None
        lowest = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
        padded = pad2d(x, self.pads, lowest)
        rows = _slide(padded, np.maximum, 2, self.kernel[0], self.stride[0], self.dilation[0])
        return _slide(rows, np.maximum, 3, self.kernel[1], self.stride[1], self.dilation[1])


@dataclass(frozen=True, kw_only=True)
class AvgPool2d(Op):
    """Mean over windows of x[n,c,h,w].

    pads: as in MaxPool2d. count_include_pad: padding counts as zeros in the divisor,
    except for the last `ceil_pads` = (bottom, right) rows and columns that only exist
    because of ceil_mode (they are part of `pads` and never counted).
    A global average pool has kernel == (h, w). A window without any counted pixel gives 0.
    """

    kernel: Pair
    stride: Pair = (1, 1)
    pads: Pads = (0, 0, 0, 0)
    ceil_pads: Pair = (0, 0)
    count_include_pad: bool = False
    relu: bool = False

    def infer(self, inputs: Types) -> TensorType:
        (x,) = operands(self, inputs, 1)
        floats(self, inputs)
        n, c, h, w = rank(self, x, 4)
        not_negative(self, "ceil_pads", self.ceil_pads)
        for ceil, pad in zip(self.ceil_pads, self.pads[2:], strict=True):
            require(self, ceil <= pad, f"ceil_pads {self.ceil_pads} exceed pads {self.pads}")
        size = output_size(self, (h, w), self.kernel, self.stride, self.pads, (1, 1))
        return x.with_shape((n, c, *size))

    def evaluate(self, *inputs: Array | None) -> Array:
        (x,) = inputs
        assert x is not None
        if self.kernel == x.shape[2:] and not any(self.pads):
            return clamp(x.mean(axis=(2, 3), keepdims=True), self.relu)
        padded = pad2d(x, self.pads, 0)
        rows = _slide(padded, np.add, 2, self.kernel[0], self.stride[0])
        sums = _slide(rows, np.add, 3, self.kernel[1], self.stride[1])
        divisors = np.outer(self.counts(0, x.shape[2]), self.counts(1, x.shape[3]))
        y = np.asarray(sums / np.maximum(divisors, 1).astype(x.dtype))
        return clamp(y, self.relu)

    def counts(self, axis: int, size: int) -> Array:
        """How many counted pixels each window has along one axis (0: rows, 1: columns)."""
        before, after = self.pads[axis], self.pads[axis + 2]
        counted = np.zeros(before + size + after, np.int64)
        if self.count_include_pad:
            counted[: len(counted) - self.ceil_pads[axis]] = 1
        else:
            counted[before : before + size] = 1
        sums = np.concatenate([[0], np.cumsum(counted)])
        kernel, stride = self.kernel[axis], self.stride[axis]
        starts = np.arange(0, len(counted) - kernel + 1, stride)
        return np.asarray(sums[starts + kernel] - sums[starts])


def _slide(
    x: Array, ufunc: np.ufunc, axis: int, kernel: int, stride: int, dilation: int = 1
) -> Array:
    """Reduce windows along one axis; pooling is separable."""
    count = (x.shape[axis] - extent(kernel, dilation)) // stride + 1
    out: Array | None = None
    for first in range(0, kernel * dilation, dilation):
        taken = slice(first, first + (count - 1) * stride + 1, stride)
        part = x[(slice(None),) * axis + (taken,)]
        out = part.copy() if out is None else ufunc(out, part, out=out)
    assert out is not None
    return out
