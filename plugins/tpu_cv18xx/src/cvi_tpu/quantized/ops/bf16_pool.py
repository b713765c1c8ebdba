"""BF16 pooling."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cvi.ir import Array, TensorType
from cvi.ops import AvgPool2d
from cvi.ops.check import Types, not_negative, operands, rank, require
from cvi.ops.windows import output_size, pad2d, windows
from cvi_tpu.quantized import bf16
from cvi_tpu.quantized.bf16_sums import convolution
from cvi_tpu.quantized.ops.base import Pads, Pair
from cvi_tpu.quantized.ops.bf16_base import Bf16Op, bf16s


@dataclass(frozen=True, kw_only=True)
class Bf16MaxPool2d(Bf16Op):
    """Maximum over windows; padding is the lowest number."""

    kernel: Pair
    stride: Pair = (1, 1)
    pads: Pads = (0, 0, 0, 0)

    def infer(self, inputs: Types) -> TensorType:
        (x,) = operands(self, inputs, 1)
        bf16s(self, inputs)
        n, c, h, w = rank(self, x, 4)
        size = output_size(self, (h, w), self.kernel, self.stride, self.pads, (1, 1))
        return self.result((n, c, *size))

    def evaluate(self, *inputs: Array | None) -> Array:
        (x,) = inputs
        assert x is not None
        lowest = float(bf16.decode(np.array([bf16.LOWEST], np.uint16))[0])
        padded = pad2d(bf16.decode(x), self.pads, lowest)
        view = windows(padded, self.kernel, self.stride)
        largest = view.max(axis=(2, 3))
        if not np.isfinite(padded).all():
            largest = bf16.overflowing(largest, view.sum(axis=(2, 3), dtype=np.float64))
        return bf16.encode(largest)


@dataclass(frozen=True, kw_only=True)
class Bf16AvgPool2d(Bf16Op):
    """Window sums of x times a BF16 number, kernel rows before columns, each addition
    rounded toward zero (FACTS_TPU 3.6).

    factors: (count, factor) for every number of counted elements that a window can have.
    Which elements count is as in cvi.ops.AvgPool2d; a window without any gives 0.
    """

    kernel: Pair
    stride: Pair = (1, 1)
    pads: Pads = (0, 0, 0, 0)
    ceil_pads: Pair = (0, 0)
    count_include_pad: bool = False
    factors: tuple[tuple[int, float], ...] = ()
    relu: bool = False

    def infer(self, inputs: Types) -> TensorType:
        (x,) = operands(self, inputs, 1)
        bf16s(self, inputs)
        n, c, h, w = rank(self, x, 4)
        not_negative(self, "ceil_pads", self.ceil_pads)
        for ceil, pad in zip(self.ceil_pads, self.pads[2:], strict=True):
            require(self, ceil <= pad, f"ceil_pads {self.ceil_pads} exceed pads {self.pads}")
        size = output_size(self, (h, w), self.kernel, self.stride, self.pads, (1, 1))
        lacking = set(self.counts((h, w)).ravel().tolist()) - {0} - {f[0] for f in self.factors}
        require(self, not lacking, f"has no factor for windows of {sorted(lacking)} pixels")
        return self.result((n, c, *size))

    def counts(self, size: Pair) -> Array:
        """How many pixels count in each window [oh, ow] of an input of that (height, width)."""
        pool = AvgPool2d(
            name=self.name,
            kernel=self.kernel,
            stride=self.stride,
            pads=self.pads,
            ceil_pads=self.ceil_pads,
            count_include_pad=self.count_include_pad,
        )
        return np.outer(pool.counts(0, size[0]), pool.counts(1, size[1]))

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
