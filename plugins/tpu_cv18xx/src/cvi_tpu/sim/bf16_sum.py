"""Long BF16 sums, one product after the other, in place.

In fp64 a sum is exact while all addends are multiples of one unit and no more than 2^52 of
it; cutting it to the 24 bits of fp32 then rounds it toward zero. How long that holds is known
from the smallest and the largest factors; a product for which it does not is added in fp32.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

import numpy as np

from cvi.ir.types import Array
from cvi_tpu.sim import bf16
from cvi_tpu.sim.bf16 import Float32, Float64

BLOCK = 1 << 14
"""Accumulators that are worked on together: their arrays stay in the cache."""

_EXACT = 2.0**52
_SMALLEST, _LARGEST = 2.0**-126, 2.0**126
"""Units that are no denormals of fp32, and sums that do not overflow."""

_LOOK_AHEAD = 512
_DROPPED = 29
"""Bits of fp64 that fp32 does not have."""

Pairs = Iterable[tuple[Array, Array]]


@dataclass(frozen=True)
class Sizes:
    """Absolute values of the factors of each step: low, the smallest that is not 0 (infinity
    where there is none), and high, the largest (infinity for NaN)."""

    low: Float64
    high: Float64

    @classmethod
    def of(cls, values: Array, axes: tuple[int, ...]) -> Sizes:
        """Those along some axes."""
        size = np.abs(values, dtype=np.float64)
        low = np.where(size > 0, size, np.inf).min(axis=axes, initial=np.inf)
        return cls(low, np.nan_to_num(size, nan=np.inf).max(axis=axes, initial=0))

    def times(self, other: Sizes) -> Sizes:
        """Those of products of factors."""
        with np.errstate(invalid="ignore"):
            high = np.nan_to_num(self.high * other.high, nan=np.inf)
        return Sizes((self.low * other.low).reshape(-1), high.reshape(-1))

    def run(self, first: int, unit: float, high: float) -> int:
        """How many steps from the first one on are exact in fp64, when the accumulators are
        multiples of a unit and not above a bound."""
        part = slice(first, first + _LOOK_AHEAD)
        # A product of two BF16 numbers has 16 bits.
        units = np.minimum.accumulate(np.minimum(self.low[part] * 2.0**-15, unit))
        bounds = high + np.cumsum(self.high[part])
        with np.errstate(invalid="ignore"):
            exact = (bounds < np.minimum(_EXACT * units, _LARGEST)) & (units >= _SMALLEST)
        return len(exact) if exact.all() else int(exact.argmin())


class Sum:
    """fp32 accumulators to which products are added, each sum rounded toward zero."""

    def __init__(self, start: Float32) -> None:
        self._total = start.astype(np.float64)

    @property
    def total(self) -> Float32:
        return self._total.astype(np.float32)

    def add(self, pairs: Pairs, sizes: Sizes) -> None:
        """Add x * y for every pair of fp64 in turn; both broadcast to the accumulators.
        sizes: of the products of each step."""
        steps, done = iter(pairs), 0
        while done < len(sizes.low):
            run = sizes.run(done, *self._reach())
            if run:
                self._add(islice(steps, run))
            else:
                self._add_alone(*next(steps))
            done += max(run, 1)

    def _reach(self) -> tuple[float, float]:
        """What all accumulators are multiples of, and the largest size."""
        sizes = Sizes.of(self._total, tuple(range(self._total.ndim)))
        return float(sizes.low) * 2.0**-24, float(sizes.high)

    def _add(self, pairs: Pairs) -> None:
        multiply, add, cut = np.multiply, np.add, np.bitwise_and
        total, product = self._total, np.empty_like(self._total)
        bits = total.view(np.int64)
        mask = np.full((1,) * total.ndim, -(1 << _DROPPED), np.int64)
        for x, y in pairs:
            multiply(x, y, product)
            add(total, product, total)
            cut(bits, mask, bits)

    def _add_alone(self, x: Float64, y: Float64) -> None:
        factors = x.astype(np.float32), y.astype(np.float32)
        self._total[...] = bf16.add(self.total, bf16.multiply(*factors))
