"""What the weights of a quantised convolution see: sums of products over patches of its input."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from cvi.ir import Array
from cvi.ops.windows import windows
from cvi_tpu.quantized.integer_conv import expand
from cvi_tpu.quantized.ops import Bf16Conv2d, Int8Conv2d, Pair

Conv = Int8Conv2d | Bf16Conv2d

_ROWS = 256  # of a matrix of products at a time

_PATCHES = 1024
"""Products of two bytes are at most 2^14: fp32 adds 2^10 of them exactly in any order."""


@dataclass(frozen=True)
class Moments:
    """Exact sums over patches, in each of g groups of k = ic/group * kh * kw pixels: their
    integers fp64[g, k], and the products of every two fp64[g, k, k]. count: of patches."""

    sums: Array
    products: Array
    count: int

    @property
    def mean(self) -> Array:
        """The mean integers fp64[g, k]."""
        mean: Array = self.sums / self.count
        return mean

    def around(self, centre: Array) -> Array:
        """The mean products fp64[g, k, k] of the integers' distances to centre[g, k]. They take
        the place of `products`, which are as large as all else together."""
        mean, gram = self.mean, self.products
        shift = centre - mean
        gram /= self.count
        for rows in _slices(gram.shape[1]):
            gram[:, rows] -= mean[:, rows, None] * mean[:, None, :]
            gram[:, rows] += shift[:, rows, None] * shift[:, None, :]
        return gram


def _slices(size: int) -> list[slice]:
    """Some rows at a time."""
    return [slice(first, first + _ROWS) for first in range(0, size, _ROWS)]


def moments(conv: Conv, kernel: Pair, inputs: Sequence[Array]) -> Moments:
    """Of all patches that a convolution with a kernel of that size sees in some inputs
    int8[n, ic, h, w]; padding is seen too."""
    size = inputs[0].shape[1] // conv.group * kernel[0] * kernel[1]
    sums: Array = np.zeros((conv.group, size))
    products: Array = np.zeros((conv.group, size, size))
    count = 0
    for block in _blocks(conv, kernel, inputs):
        sums += block.sum(axis=2, dtype=np.float64)
        found = np.matmul(block, block.transpose(0, 2, 1))
        for rows in _slices(size):
            products[:, rows] += found[:, rows].astype(np.float64)
        count += block.shape[2]
    return Moments(sums, products, count)


def _blocks(conv: Conv, kernel: Pair, inputs: Iterable[Array]) -> Iterator[Array]:
    """The patches fp32[g, k, p], at most 1024 at a time, and so many but at the end."""
    waiting: list[Array] = []
    count = 0
    for rows in (rows for x in inputs for rows in _rows(conv, kernel, x)):
        for first in range(0, rows.shape[2], _PATCHES):
            part = rows[:, :, first : first + _PATCHES]
            if count + part.shape[2] > _PATCHES:
                yield np.concatenate(waiting, axis=2)
                waiting, count = [], 0
            waiting.append(part)
            count += part.shape[2]
    if waiting:
        yield np.concatenate(waiting, axis=2)


def _rows(conv: Conv, kernel: Pair, x: Array) -> Iterator[Array]:
    """The patches of an input, some rows of results at a time."""
    fill = conv.fill if isinstance(conv, Int8Conv2d) else 0
    seen = expand(x, conv.insert, conv.pads, fill)
    view = windows(seen, kernel, conv.stride, conv.dilation)
    channels, width, height = view.shape[1], view.shape[5], view.shape[4]
    size = channels // conv.group * kernel[0] * kernel[1]
    step = max(1, _PATCHES // width)
    for image in view:
        for top in range(0, height, step):
            part = image[:, :, :, top : top + step].reshape(conv.group, size, -1)
            yield part.astype(np.float32)
