"""Sums of products in the order in which the compute engine takes them, to the bit.

Each step adds one product to a block of accumulators that stays in the cache. In fp64 a
sum of two fp32 numbers is exact unless they are far apart, and then cutting it to 24 bits
rounds toward zero as the engine does. How far apart they can be is known beforehand from
the extremes of the factors; steps that could go wrong take the slow way of `bf16.add`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from cvi.ir import Array
from cvi.ops.windows import Pair, windows
from cvi_tpu.quantized import bf16
from cvi_tpu.quantized.bf16 import Float32, Float64

_BLOCK = 1 << 14  # accumulators of a block: with the products of a step 256 KiB of fp64
_UNITS = 2.0**52
"""fp64 holds a sum exactly while it is below this many units, of which both addends are
whole multiples."""
_SMALLEST, _LARGEST = 2.0**-126, 2.0**126
_MAX_FP32 = float(np.finfo(np.float32).max)
_PATIENCE = 8  # steps between two looks at the accumulators


@dataclass(frozen=True)
class Extremes:
    """The smallest absolute value that is not 0, and the largest, along some axes."""

    low: Float64
    high: Float64

    @classmethod
    def of(cls, values: Array, axes: tuple[int, ...]) -> Extremes:
        size = np.abs(values)
        low = np.where(size > 0, size, np.inf).min(axis=axes, initial=np.inf)
        high = np.nan_to_num(size, nan=np.inf).max(axis=axes, initial=0)
        return cls(low.astype(np.float64), high.astype(np.float64))

    def __mul__(self, other: Extremes) -> Extremes:
        with np.errstate(invalid="ignore", over="ignore"):
            low, high = self.low * other.low, self.high * other.high
        return Extremes(low, np.nan_to_num(high, nan=np.inf))


class _Bounds:
    """What is known of a block of accumulators: all are multiples of `unit` and at most
    `high` in size."""

    def __init__(self, total: Float64) -> None:
        self.total = total
        self.unit, self.high = np.inf, 0.0
        self._age = 0

    def allow(self, unit: float, high: float) -> bool:
        """Whether products that are multiples of `unit` up to `high` are added exactly;
        the bounds are those after the addition."""
        self._age += 1
        if not self._fits(unit, high) and self._age > _PATIENCE:
            self._look()
        fits = self._fits(unit, high)
        self.unit, self.high = min(self.unit, unit), self.high + high
        return fits

    def _fits(self, unit: float, high: float) -> bool:
        finest, most = min(self.unit, unit), self.high + high
        return most < _UNITS * finest and finest >= _SMALLEST and most < _LARGEST

    def _look(self) -> None:
        """An accumulator has 24 bits: it is a multiple of 2^-24 of its own size."""
        size = np.abs(self.total)
        least = float(np.where(size > 0, size, np.inf).min())
        self.unit, self.high = max(self.unit, least * 2.0**-24), float(size.max())
        self._age = 0


def accumulate(
    total: Float64, factors: Array, values: Array, extremes: Extremes, step: int = 0
) -> None:
    """total += factors[k] * values[k] for every k in turn, each sum rounded toward zero.

    factors[k] and values[k] broadcast to total, which begins at zero. extremes: of the
    products, one for every k; a product of two BF16 numbers has 16 bits. step: products
    after which the sums are stored and read again, which makes the largest number of those
    that have overflowed.
    """
    product = np.empty_like(total)
    bounds = _Bounds(total)
    ranges = zip((extremes.low * 2.0**-15).tolist(), extremes.high.tolist(), strict=True)
    for k, (unit, high) in enumerate(ranges):
        if step and k % step == 0:
            total[~np.isfinite(total)] = _MAX_FP32
        if high == 0:
            continue
        np.multiply(factors[k], values[k], out=product)
        if bounds.allow(unit, high):
            np.add(total, product, out=total)
            bf16.cut(total)
        else:
            total[...] = bf16.toward_zero(total, bf16.in_range(product))


def convolution(
    x: Array, weight: Array, stride: Pair, dilation: Pair = (1, 1), group: int = 1, step: int = 0
) -> Float32:
    """Sums of the (already padded) x[n,ic,h,w] with weight[oc,ic/group,kh,kw], both BF16
    numbers in fp32.

    The order: passes of `step` input channels (0: one pass), in a pass kernel rows, kernel
    columns, input channels (FACTS_TPU 3.5).
    """
    oc, icg, kh, kw = weight.shape
    view = windows(x, (kh, kw), stride, dilation)
    n, _, _, _, oh, ow = view.shape
    out = np.empty((n, oc, oh, ow), np.float32)
    with np.errstate(all="ignore"):  # infinities and NaN
        _convolve(view, weight, out, group, step or icg)
    return out


def _convolve(view: Array, weight: Array, out: Array, group: int, step: int) -> None:
    """The convolution of windows [n,ic,kh,kw,oh,ow]."""
    n, oc, _, _ = out.shape
    _, icg, kh, kw = weight.shape
    if icg == 1 and group == oc:
        _depthwise(view, weight, out)
        return
    order = _Order.of(icg, (kh, kw), step)
    for image in range(n):
        for g in range(group):
            channels = slice(g * icg, (g + 1) * icg)
            results = slice(g * (oc // group), (g + 1) * (oc // group))
            _plane(view[image, channels], weight[results], out[image, results], order)


@dataclass(frozen=True)
class _Order:
    """Channel, row and column of every product in turn; how many products a pass has."""

    channel: Array
    row: Array
    column: Array
    step: int

    @classmethod
    def of(cls, channels: int, kernel: Pair, step: int) -> _Order:
        parts = []
        for first in range(0, channels, step):
            count = min(step, channels - first)
            rows, columns, inner = np.indices((*kernel, count)).reshape(3, -1)
            parts.append((inner + first, rows, columns))
        i, ky, kx = (np.concatenate(axis) for axis in zip(*parts, strict=True))
        return cls(i, ky, kx, step * kernel[0] * kernel[1])


def _plane(view: Array, weight: Array, out: Array, order: _Order) -> None:
    """One image and group: view [ic,kh,kw,oh,ow], weight [oc,ic,kh,kw], out [oc,oh,ow]."""
    i, ky, kx = order.channel, order.row, order.column
    _, oh, ow = out.shape
    for top, bottom, left, right in _areas(oh, ow):
        tap = np.ascontiguousarray(view[i, ky, kx, top:bottom, left:right], np.float64)
        seen = Extremes.of(tap, (1, 2))
        area = tap.reshape(len(i), 1, -1)
        count = max(1, _BLOCK // area.shape[2])
        for first in range(0, len(out), count):
            factors = weight[first : first + count, i, ky, kx].T.astype(np.float64)
            total = np.zeros((factors.shape[1], area.shape[2]))
            products = seen * Extremes.of(factors, (1,))
            accumulate(total, factors[:, :, None], area, products, order.step)
            result = total.reshape(-1, bottom - top, right - left)
            out[first : first + count, top:bottom, left:right] = result


_AREA = 1 << 10  # results of a plane that are computed together


def _areas(height: int, width: int) -> Iterator[tuple[int, int, int, int]]:
    """Parts (top, bottom, left, right) of a plane, whole rows where they are short."""
    columns = min(width, _AREA)
    rows = max(1, _AREA // columns)
    for top in range(0, height, rows):
        for left in range(0, width, columns):
            yield top, min(top + rows, height), left, min(left + columns, width)


def _depthwise(view: Array, weight: Array, out: Array) -> None:
    """Every channel with its own filter: kernel rows, kernel columns."""
    n, c, kh, kw, oh, ow = view.shape
    count = max(1, _BLOCK // (oh * ow))
    for image in range(n):
        for first in range(0, c, count):
            part = slice(first, first + count)
            taps = np.moveaxis(view[image, part], 0, 2).reshape(kh * kw, -1, oh, ow)
            factors = weight[part, 0].reshape(-1, kh * kw).T[:, :, None, None]
            total = np.zeros(taps.shape[1:])
            products = Extremes.of(taps, (1, 2, 3)) * Extremes.of(factors, (1, 2, 3))
            accumulate(total, factors.astype(np.float64), taps.astype(np.float64), products)
            out[image, part] = total


def products(left: Array, right: Array, order: Array, step: int = 0) -> Float32:
    """left[..., m, k] times right[..., k, n] with the products added in this order of k, in
    passes of `step`."""
    shape = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    a = np.broadcast_to(left, (*shape, *left.shape[-2:]))
    b = np.broadcast_to(right, (*shape, *right.shape[-2:]))
    out = np.empty((*shape, left.shape[-2], right.shape[-1]), np.float32)
    for index in np.ndindex(*shape):
        with np.errstate(all="ignore"):  # infinities and NaN
            out[index] = _product(a[index], b[index], order, step)
    return out


def _product(left: Array, right: Array, order: Array, step: int) -> Float64:
    """left[m, k] times right[k, n], some rows at a time."""
    columns = right[order].astype(np.float64)
    down = Extremes.of(columns, (1,))
    out = np.zeros((left.shape[0], right.shape[1]))
    count = max(1, _BLOCK // max(right.shape[1], 1))
    for first in range(0, len(out), count):
        rows = left[first : first + count].T[order].astype(np.float64)
        extremes = Extremes.of(rows, (1,)) * down
        total = out[first : first + count]
        accumulate(total, rows[:, :, None], columns[:, None, :], extremes, step)
    return out
