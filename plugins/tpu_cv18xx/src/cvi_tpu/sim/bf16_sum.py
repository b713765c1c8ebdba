"""Long BF16 sums, one product after the other, in place.

A sum is computed to nearest in fp32; its error, which fp32 holds (two-sum), says whether it
was rounded away from zero, and then the number before it is taken.
"""

from __future__ import annotations

import numpy as np

from cvi.ir.types import Array
from cvi_tpu.sim import bf16
from cvi_tpu.sim.bf16 import Float32

BLOCK = 1 << 15
"""Accumulators that are worked on together: their arrays stay in the cache."""

_SMALLEST, _LARGEST = 2.0**-100, 2.0**126
"""Sums of products above the one are no denormals: their last bits are no smaller than
2^-15 of the smallest product. Sums below the other do not overflow."""

_SIGN = np.int32(-0x80000000)


class Sum:
    """fp32 accumulators to which products are added, each sum rounded toward zero."""

    def __init__(self, start: Float32, *, plain: bool) -> None:
        """start: the accumulators, which are changed. plain: there are no denormals, no
        infinities, and no overflow will occur."""
        self.total = start
        self._plain = plain
        self._product, self._sum, self._a, self._b = (np.empty_like(start) for _ in range(4))

    def add(self, x: Array, y: Array) -> None:
        """Add x * y, which broadcast to the accumulators."""
        if self._plain:
            np.multiply(x, y, out=self._product)
            self._add(self._product)
        else:
            self.total = bf16.add(self.total, bf16.multiply(x, y))

    def _add(self, product: Float32) -> None:
        old, new, a, b = self.total, self._sum, self._a, self._b
        np.add(old, product, out=new)
        np.subtract(new, old, out=a)
        np.subtract(new, a, out=b)
        np.subtract(old, b, out=b)
        np.subtract(product, a, out=a)
        np.add(a, b, out=a)  # the error: +0 where there is none
        self._step_back(new, a, b)
        self.total, self._sum = new, old

    @staticmethod
    def _step_back(value: Float32, error: Float32, scratch: Float32) -> None:
        """One step toward zero where the error has the other sign."""
        bits, signs, away = (array.view(np.int32) for array in (value, scratch, error))
        np.bitwise_and(bits, _SIGN, out=signs)
        np.bitwise_xor(away, signs, out=away)
        np.add(error, np.float32(0), out=error)  # -0 becomes +0
        np.right_shift(away, 31, out=away)
        np.add(bits, away, out=bits)


def is_plain(x: Float32, y: Float32, start: Float32, count: int) -> bool:
    """Whether the sums of `count` products of x and y, from `start` on, stay within the
    normal range of fp32."""
    (low, high), (least, most), (first, last) = (_extremes(v) for v in (x, y, start))
    return min(low * least, first) > _SMALLEST and high * most * count + last < _LARGEST


def _extremes(values: Float32) -> tuple[float, float]:
    """The smallest absolute value but 0 (infinity without any), and the largest (NaN)."""
    size = np.abs(values, dtype=np.float64)
    least = np.where(size > 0, size, np.inf).min(initial=np.inf)
    return float(least), float(size.max(initial=0))
