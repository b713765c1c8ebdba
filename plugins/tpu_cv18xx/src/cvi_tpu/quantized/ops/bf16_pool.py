"""BF16 pooling."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cvi.ir import Array, TensorType
from cvi.ops.check import Types, operands, rank
from cvi.ops.windows import output_size, pad2d, windows
from cvi_tpu.quantized import bf16
from cvi_tpu.quantized.bf16_sums import convolution
from cvi_tpu.quantized.ops.average import AverageWindows
from cvi_tpu.quantized.ops.base import Pads, Pair
from cvi_tpu.quantized.ops.bf16_base import Bf16Op, bf16s
from cvi_tpu.quantized.ops.pool import BlockMask


@dataclass(frozen=True, kw_only=True)
class Bf16MaxPool2d(Bf16Op):
    """Maximum over windows; padding is the lowest number."""

    kernel: Pair
    stride: Pair = (1, 1)
    pads: Pads = (0, 0, 0, 0)
    dilation: Pair = (1, 1)

    def infer(self, inputs: Types) -> TensorType:
        (x,) = operands(self, inputs, 1)
        bf16s(self, inputs)
        n, c, h, w = rank(self, x, 4)
        size = output_size(self, (h, w), self.kernel, self.stride, self.pads, self.dilation)
        return self.result((n, c, *size))

    def evaluate(self, *inputs: Array | None) -> Array:
        (x,) = inputs
        assert x is not None
        lowest = float(bf16.decode(np.array([bf16.LOWEST], np.uint16))[0])
        padded = pad2d(bf16.decode(x), self.pads, lowest)
        view = windows(padded, self.kernel, self.stride, self.dilation)
        largest = view.max(axis=(2, 3))
        if not np.isfinite(padded).all():
            largest = bf16.overflowing(largest, view.sum(axis=(2, 3), dtype=np.float64))
        return bf16.encode(largest)


HUGE = 2.0**127
"""Times this, every number of the normal range is 2 or more in size."""


@dataclass(frozen=True, kw_only=True)
class Bf16PoolMask(BlockMask, Bf16Op):
    """A mask of BF16. A pixel is the maximum where the engine's difference of the two is 0:
    where less than 2^-126 is between them."""

    def infer(self, inputs: Types) -> TensorType:
        bf16s(self, inputs)
        return self.result(self.masked(inputs))

    def evaluate(self, *inputs: Array | None) -> Array:
        """The engine's steps, at one position of all blocks after the other."""
        (x,) = inputs
        assert x is not None
        (h, w), (rows, columns) = x.shape[2:], self.size
        pads = (0, 0, -h % rows, -w % columns)
        pool = Bf16MaxPool2d(name="", kernel=self.size, stride=self.size, pads=pads)
        maxima = bf16.decode(pool.evaluate(x))
        still_open, numbers = np.ones_like(maxima), bf16.decode(x)
        mask = np.zeros_like(numbers)
        for top, left in np.ndindex(min(h, rows), min(w, columns)):
            pixels = numbers[:, :, top::rows, left::columns]
            down, across = (slice(size) for size in pixels.shape[2:])
            opened = still_open[:, :, down, across]
            below = bf16.stored(bf16.subtract(maxima[:, :, down, across], pixels))
            behind = np.minimum(bf16.stored(bf16.multiply(below, np.float32(HUGE))), opened)
            mask[:, :, top::rows, left::columns] = opened - behind
            opened[...] = behind
        return bf16.encode(mask)


@dataclass(frozen=True, kw_only=True)
class Bf16AvgPool2d(AverageWindows, Bf16Op):
    """Window sums of x times a BF16 number, kernel rows before columns, each addition
    rounded toward zero (FACTS_TPU 3.6).

    factors: (count, factor) for every number of counted elements that a window can have.
    Which elements count is as in cvi.ops.AvgPool2d; a window without any gives 0.
    """

    factors: tuple[tuple[int, float], ...] = ()
    relu: bool = False

    def infer(self, inputs: Types) -> TensorType:
        (x,) = operands(self, inputs, 1)
        bf16s(self, inputs)
        return self.result(self.pooled(x, [factor[0] for factor in self.factors], "factor"))

    def evaluate(self, *inputs: Array | None) -> Array:
        (x,) = inputs
        assert x is not None
        padded = pad2d(bf16.decode(x), self.pads, 0)
        channels, counts = x.shape[1], self.counts((x.shape[2], x.shape[3]))
        out = np.zeros((x.shape[0], channels, *counts.shape), np.uint16)
        for count, factor in self.factors:
            here = counts == count
            if not here.any():
                continue
            weight = np.full((channels, 1, *self.kernel), bf16.nearest(factor), np.float32)
            sums = convolution(padded, weight, self.stride, group=channels)
            values = bf16.encode(bf16.relu(sums) if self.relu else sums)
            out[:, :, here] = values[:, :, here]
        return out

    def estimate(self, *inputs: Array | None) -> Array:
        (x,) = inputs
        assert x is not None
        padded = pad2d(bf16.decode(x), self.pads, 0)
        sums = windows(padded, self.kernel, self.stride).sum(axis=(2, 3), dtype=np.float32)
        counts, factors = self.counts((x.shape[2], x.shape[3])), np.float32(0)
        for count, factor in self.factors:
            factors = np.where(counts == count, np.float32(bf16.nearest(factor)), factors)
        values = sums * factors
        return bf16.encode(bf16.relu(values) if self.relu else values)
