"""What average pools of all element types share: which windows there are, and how many
pixels count in each."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from cvi.ir import Array, Op, Shape, TensorType
from cvi.ops import AvgPool2d
from cvi.ops.check import not_negative, rank, require
from cvi.ops.windows import output_size
from cvi_tpu.quantized.ops.base import Pads, Pair


@dataclass(frozen=True, kw_only=True)
class AverageWindows(Op):
    """The attributes of cvi.ops.AvgPool2d; which elements count is as there."""

    kernel: Pair
    stride: Pair = (1, 1)
    pads: Pads = (0, 0, 0, 0)
    ceil_pads: Pair = (0, 0)
    count_include_pad: bool = False

    def pooled(self, x: TensorType, known: Collection[int], label: str) -> Shape:
        """Shape of the result of x[n,c,h,w]; ModelError for a window with a number of
        counted pixels that is not known, in which case it has no `label`."""
        n, c, h, w = rank(self, x, 4)
        not_negative(self, "ceil_pads", self.ceil_pads)
        for ceil, pad in zip(self.ceil_pads, self.pads[2:], strict=True):
            require(self, ceil <= pad, f"ceil_pads {self.ceil_pads} exceed pads {self.pads}")
        size = output_size(self, (h, w), self.kernel, self.stride, self.pads, (1, 1))
        lacking = set(self.counts((h, w)).ravel().tolist()) - {0} - set(known)
        require(self, not lacking, f"has no {label} for windows of {sorted(lacking)} pixels")
        return (n, c, *size)

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
