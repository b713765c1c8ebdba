"""Pooling."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cvi.ir import Array, DType, Op, TensorType
from cvi.ops.check import Types, floats, not_negative, operands, positive, rank, require
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


@dataclass(frozen=True, kw_only=True)
class PoolMask(Op):
    """Where the maximum of every block of x[n,c,h,w] is: 1 there, 0 elsewhere.

    size: rows and columns of a block; the last blocks may be smaller. Of equal maxima the
    first in row-major order counts, as in Caffe.
    """

    size: Pair

    def infer(self, inputs: Types) -> TensorType:
        (x,) = operands(self, inputs, 1)
        floats(self, inputs)
        rank(self, x, 4)
        positive(self, "size", self.size)
        return x

    def evaluate(self, *inputs: Array | None) -> Array:
        (x,) = inputs
        assert x is not None
        return first_maxima(x, self.size)


def first_maxima(x: Array, size: Pair) -> Array:
    """1 at the first maximum of every block of x[n,c,h,w], 0 elsewhere; the type of x."""
    n, c, h, w = x.shape
    rows, columns = -(-h // size[0]), -(-w // size[1])
    lowest = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    padded = pad2d(x, (0, 0, rows * size[0] - h, columns * size[1] - w), lowest)
    blocks = padded.reshape(n, c, rows, size[0], columns, size[1]).transpose(0, 1, 2, 4, 3, 5)
    first = blocks.reshape(n, c, rows, columns, -1).argmax(axis=-1)
    mask = (np.arange(size[0] * size[1]) == first[..., None]).astype(x.dtype)
    spread = mask.reshape(n, c, rows, columns, *size).transpose(0, 1, 2, 4, 3, 5)
    return np.asarray(spread.reshape(padded.shape)[:, :, :h, :w])


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
