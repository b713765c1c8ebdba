"""Quantised pooling."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cvi.ir import Array, Op, Shape, TensorType
from cvi.ops import MaxPool2d
from cvi.ops.check import Types, operands, positive, rank
from cvi.ops.pool import first_maxima
from cvi.ops.windows import output_size, pad2d
from cvi_tpu.quantized.ops.average import AverageWindows
from cvi_tpu.quantized.ops.base import Int8Op, Pads, Pair, check_rate, in_range, int8s
from cvi_tpu.quantized.requantise import requantise


@dataclass(frozen=True, kw_only=True)
class Int8MaxPool2d(Int8Op):
    """Maximum over windows; padding is -128 and so never wins."""

    kernel: Pair
    stride: Pair = (1, 1)
    pads: Pads = (0, 0, 0, 0)
    dilation: Pair = (1, 1)

    def infer(self, inputs: Types) -> TensorType:
        (x,) = operands(self, inputs, 1)
        int8s(self, inputs)
        n, c, h, w = rank(self, x, 4)
        size = output_size(self, (h, w), self.kernel, self.stride, self.pads, self.dilation)
        return self.result((n, c, *size))

    def evaluate(self, *inputs: Array | None) -> Array:
        return MaxPool2d(
            name=self.name, kernel=self.kernel, stride=self.stride, pads=self.pads,
            dilation=self.dilation,
        ).evaluate(*inputs)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class BlockMask(Op):
    """1 at the first maximum (in row-major order) of every block of x[n,c,h,w], else 0.

    size: rows and columns of a block; the last blocks may be smaller.
    """

    size: Pair

    def masked(self, inputs: Types) -> Shape:
        """The shape of the result."""
        (x,) = operands(self, inputs, 1)
        positive(self, "size", self.size)
        return rank(self, x, 4)


@dataclass(frozen=True, kw_only=True)
class Int8PoolMask(BlockMask, Int8Op):
    """A mask of int8."""

    def infer(self, inputs: Types) -> TensorType:
        int8s(self, inputs)
        return self.result(self.masked(inputs))

    def evaluate(self, *inputs: Array | None) -> Array:
        (x,) = inputs
        assert x is not None
        return first_maxima(x, self.size)


@dataclass(frozen=True, kw_only=True)
class Int8AvgPool2d(AverageWindows, Int8Op):
    """Window sums with exact divisors: sat8(relu(QDM(weight * sum, m, s))).

    rates: (count, weight, multiplier, shift) for every number of counted elements a window
    can have (FACTS_TPU 3.6: realised as a depthwise convolution with a constant weight
    1..127). Which elements count is as in cvi.ops.AvgPool2d; a window without any gives 0.
    """

    rates: tuple[tuple[int, int, int, int], ...] = ()
    relu: bool = False

    def infer(self, inputs: Types) -> TensorType:
        (x,) = operands(self, inputs, 1)
        int8s(self, inputs)
        for _, weight, multiplier, shift in self.rates:
            in_range(self, "weight", weight, 1, 127)
            check_rate(self, multiplier, shift)
        return self.result(self.pooled(x, [rate[0] for rate in self.rates], "rate"))

    def evaluate(self, *inputs: Array | None) -> Array:
        (x,) = inputs
        assert x is not None
        sums = _window_sums(pad2d(x, self.pads, 0), self.kernel, self.stride)
        counts = self.counts((x.shape[2], x.shape[3]))
        out = np.zeros(sums.shape, np.int8)
        for count, weight, multiplier, shift in self.rates:
            here = counts == count
            acc = sums[:, :, here] * weight
            out[:, :, here] = requantise(acc, multiplier, shift, relu=self.relu)
        return out


def _window_sums(x: Array, kernel: Pair, stride: Pair) -> Array:
    """Sums over windows of the (already padded) x[n,c,h,w], int32[n,c,oh,ow]."""
    n, c, h, w = x.shape
    integral = np.zeros((n, c, h + 1, w + 1), np.int32)
    np.cumsum(x, axis=2, dtype=np.int32, out=integral[:, :, 1:, 1:])
    np.cumsum(integral, axis=3, out=integral)
    top, left = (
        np.arange(0, size - k + 1, s) for size, k, s in zip((h, w), kernel, stride, strict=True)
    )
    rows = integral[:, :, top + kernel[0]] - integral[:, :, top]
    return np.asarray(rows[..., left + kernel[1]] - rows[..., left])
