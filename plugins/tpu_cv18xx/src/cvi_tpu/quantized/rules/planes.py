"""Windows that are a whole image, and how much of an image a lane and an instruction take."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TypeVar

from cvi.ir import DType, Shape
from cvi.ops import AvgPool2d, MaxPool2d, Pad
from cvi_tpu.chip import ChipSpec
from cvi_tpu.quantized.ops import Pair
from cvi_tpu.quantized.rewriter import Chain

Pool = AvgPool2d | MaxPool2d
PoolT = TypeVar("PoolT", AvgPool2d, MaxPool2d)


def fits_in_lane(kernel: Pair, spec: ChipSpec, dtype: DType) -> bool:
    """Whether one window and its result leave room for double buffering in a lane."""
    return kernel[0] * kernel[1] * dtype.size <= spec.lane_bytes // 2


def dilation_of(op: Pool) -> Pair:
    """The distance of a window's taps."""
    return op.dilation if isinstance(op, MaxPool2d) else (1, 1)


def is_whole(op: Pool, x: Shape) -> bool:
    """Whether a window is all of an image."""
    return op.kernel == x[2:] and not any(op.pads) and dilation_of(op) == (1, 1)


def is_long(op: Pool, spec: ChipSpec) -> bool:
    """Whether a window has more rows or columns than an instruction takes."""
    return max(op.kernel) > spec.max_size


def pieces(length: int, most: int) -> int:
    """Into how many pieces of up to `most` elements a row is cut: equal ones if it can be."""
    least = math.ceil(length / most)
    equal = (n for n in range(least, min(4 * least, most) + 1) if length % n == 0)
    return next(equal, least)


def in_pieces(chain: Chain, op: PoolT, filling: float) -> PoolT:
    """Append what makes a row of pieces of every image, the last one filled with a number; the
    pool of these that stands for one of the whole images."""
    n, c, h, w = chain.shape
    length = h * w
    count = pieces(length, chain.to.spec.max_size)
    width = math.ceil(length / count)
    chain.reshape("row", (n, c, 1, length))
    more = count * width - length
    if more:
        filled = Pad(name="", inputs=("",), before=(0,) * 4, after=(0, 0, 0, more), value=filling)
        chain.then("filled", filled)
    chain.reshape("pieces", (n, c, count, width))
    return replace(op, kernel=(count, width), stride=(1, 1))
