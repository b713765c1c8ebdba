"""Histograms of |x| of many tensors in one pass, in memory that does not grow with the data.

The vendor counts |x| in bins of width absmax / (bins - 1), which needs the absolute
maximum of all images before the first count (FACTS_TOOLCHAIN 5.1). Here |x| is counted
in 8 to 16 times finer bins over a range that is a power of two and doubles when a
larger value comes; scaling and index are then exact in fp32 and a doubling adds pairs
of bins. `LayerHistogram.reduced` turns the fine bins into the vendor's: fine bins that
lie within one coarse bin, 7 to 15 of every 8 to 16, are counted exactly, one that is
cut by a coarse edge is divided in proportion. The KLD threshold is then that of two
passes within one step of 128 bins, except where two candidates' divergences are tied
within about 1 %: there either may win.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from cvi.calibrate.kld import check_bins
from cvi.errors import CviError
from cvi.ir import Array

_FINE = 16
_CHUNK = 1 << 17
_LOWEST_EXPONENT = -100


class LayerHistogram:
    """Minimum, maximum and fine histogram of all values seen of one tensor."""

    def __init__(self, bins: int) -> None:
        self.bins = bins
        self.min = math.inf
        self.max = -math.inf
        self._size = 1 << (_FINE * bins - 1).bit_length()
        self._exponent: int | None = None  # the range is 2 ** exponent, above every |x|
        self._counts: npt.NDArray[np.int64] | None = None

    @property
    def absmax(self) -> float:
        """Largest |x|, 0 when nothing was seen."""
        return max(self.max, -self.min, 0.0)

    def widen(self, low: float, high: float) -> None:
        """Take note of new extremes; makes room for them."""
        self.min, self.max = min(self.min, low), max(self.max, high)
        exponent = max(math.frexp(self.absmax)[1], _LOWEST_EXPONENT)
        if self.absmax == 0 or (self._exponent is not None and exponent <= self._exponent):
            return
        if self._counts is None or self._exponent is None:
            self._counts = np.zeros(self._size, np.int64)
        else:
            self._fold(exponent - self._exponent)
        self._exponent = exponent

    @property
    def scale(self) -> float:
        """The power of two that brings |x| to its fine bin, between 2**-113 and 2**121."""
        assert self._exponent is not None
        return math.ldexp(self._size, -self._exponent)

    def count(self, indices: npt.NDArray[np.int32], zeros: int) -> None:
        """Count values by fine bin; `zeros` of those in bin 0 are exact zeros."""
        assert self._counts is not None
        self._counts += np.bincount(indices, minlength=self._size)
        self._counts[0] -= zeros

    def fine(self) -> tuple[npt.NDArray[np.int64], float]:
        """The counts of non-zero |x| in fine bins, and the width of a bin. Only defined when
        absmax > 0."""
        assert self._counts is not None and self._exponent is not None
        return self._counts, 2.0**self._exponent / self._size

    def clipped(self, threshold: float) -> float:
        """The sum of squared distances by which |x| exceeds a threshold, every value in the
        middle of its fine bin. 0 when nothing but zeros was seen."""
        if self.absmax == 0:
            return 0.0
        counts, width = self.fine()
        first = int(threshold / width + 0.5)
        middles = (np.arange(first, len(counts)) + 0.5) * width
        return float(counts[first:] @ np.square(middles - threshold))

    def reduced(self) -> npt.NDArray[np.int64]:
        """The vendor's histogram int64[bins] of non-zero |x|: bin j is around j * width.

        The total is exact. Only defined when absmax > 0.
        """
        assert self._counts is not None and self._exponent is not None
        step = 2.0**self._exponent / self._size
        width = self.absmax / (self.bins - 1)
        edges = (np.arange(1, self.bins) - 0.5) * (width / step)
        below = np.concatenate([[0], self._counts.cumsum()])
        at_edges = np.rint(np.interp(edges, np.arange(self._size + 1), below)).astype(np.int64)
        counts: npt.NDArray[np.int64] = np.diff(at_edges, prepend=0, append=below[-1])
        return counts

    def _fold(self, doublings: int) -> None:
        """Make the range 2 ** doublings times as large: neighbouring bins are added."""
        assert self._counts is not None
        factor = 1 << min(doublings, self._size.bit_length() - 1)
        folded = self._counts.reshape(-1, factor).sum(axis=1)
        self._counts[: len(folded)] = folded
        self._counts[len(folded) :] = 0


class Histograms:
    """The histograms of all layers. Not for several threads: buffers are shared.

    bins: of the vendor's histogram, a multiple of 128 (InputError otherwise).
    """

    def __init__(self, bins: int = 2048) -> None:
        check_bins(bins)
        self.bins = bins
        self.layers: dict[str, LayerHistogram] = {}
        self._floats = np.empty(_CHUNK, np.float32)
        self._indices = np.empty(_CHUNK, np.int32)

    def add(self, tensors: Mapping[str, Array]) -> None:
        """Count the tensors of one sample. CviError names a tensor with NaN or infinity."""
        for name, array in tensors.items():
            layer = self.layers.get(name)
            if layer is None:
                layer = self.layers[name] = LayerHistogram(self.bins)
            self._add(name, layer, array)

    def _add(self, name: str, layer: LayerHistogram, array: Array) -> None:
        values = np.ascontiguousarray(array, np.float32).reshape(-1)
        if not values.size:
            return
        low, high = float(values.min()), float(values.max())
        if not (math.isfinite(low) and math.isfinite(high)):
            raise CviError(
                "the float network gives NaN or infinity here",
                where=name,
                fix="check the model and the preprocessing; such a layer cannot be calibrated",
            )
        layer.widen(low, high)
        if low == high == 0:
            return
        for start in range(0, values.size, _CHUNK):
            self._count(layer, values[start : start + _CHUNK])

    def _count(self, layer: LayerHistogram, chunk: Array) -> None:
        scaled = self._floats[: chunk.size]
        indices = self._indices[: chunk.size]
        np.multiply(chunk, np.float32(layer.scale), out=scaled)
        np.abs(scaled, out=scaled)
        np.copyto(indices, scaled, casting="unsafe")
        layer.count(indices, zeros=chunk.size - np.count_nonzero(chunk != 0))
