"""Exact integer convolution at the speed of the float BLAS.

Products of two 8-bit numbers are integers that fp32 holds exactly, and so are their
sums as long as no partial sum of any order reaches 2^24. Longer sums are cut into
groups of input channels that keep this bound; fp64 (2^53) serves what remains.
"""

from __future__ import annotations

import numpy as np

from cvi.ir import Array
from cvi.ops.windows import Pads, Pair, convolve, pad2d, taps, windows

_EXACT = {np.dtype(np.float32): 1 << 24, np.dtype(np.float64): 1 << 53}
_ALWAYS = (1 << 24) // (128 * 128) - 1  # so many products of int8 never reach 2^24
_BLOCK = 1 << 16  # elements of a depthwise block; three fp32 arrays of it stay in the cache


def convolve_int8(
    x: Array, weight: Array, stride: Pair, dilation: Pair = (1, 1), group: int = 1
) -> Array:
    """Convolution of the (already padded) int8 x[n,ic,h,w] with int8 weight[oc,ic/g,kh,kw].

    Returns the exact sums as int64[n,oc,oh,ow].
    """
    if weight.shape[1] == 1 and group == x.shape[1] == weight.shape[0]:
        return _depthwise(x, weight, stride, dilation)
    if group > 1:
        return _exact(x, weight, stride, dilation, group, _sum_type(x, weight))
    total: Array | None = None
    for first, last in _channel_groups(x, weight):
        part, kernel = x[:, first:last], weight[:, first:last]
        sums = _exact(part, kernel, stride, dilation, 1, _sum_type(part, kernel))
        total = sums if total is None else np.add(total, sums, out=total)
    assert total is not None
    return total


def _exact(
    x: Array, weight: Array, stride: Pair, dilation: Pair, group: int, kind: np.dtype[np.floating]
) -> Array:
    return convolve(x.astype(kind), weight.astype(kind), stride, dilation, group).astype(np.int64)


def largest_sum(x: Array, weight: Array) -> int:
    """Bound of the absolute value of any partial sum, in any order, of any channel."""
    low, high = min(int(x.min()), 0), max(int(x.max()), 0)
    return _largest(weight.reshape(weight.shape[0], -1), low, high)


def _largest(rows: Array, low: int, high: int) -> int:
    """Any subset of the products w*x lies within these two extremes; x in [low, high]."""
    wide = rows.astype(np.int64)
    positive = np.maximum(wide, 0).sum(axis=1)
    negative = np.maximum(-wide, 0).sum(axis=1)
    top = positive * high - negative * low
    bottom = negative * high - positive * low
    return int(np.maximum(top, bottom).max(initial=0))


def _sum_type(x: Array, weight: Array) -> np.dtype[np.floating]:
    """The smallest float type that holds every partial sum exactly."""
    if weight[0].size <= _ALWAYS:
        return np.dtype(np.float32)
    bound = largest_sum(x, weight)
    single = np.dtype(np.float32)
    return single if bound < _EXACT[single] else np.dtype(np.float64)


def _channel_groups(x: Array, weight: Array) -> list[Pair]:
    """Ranges of input channels whose sums stay below 2^24, as few as possible.

    A single channel that exceeds the bound (a filter over 1000 pixels) is a range of
    its own and is summed in fp64.
    """
    if weight[0].size <= _ALWAYS:
        return [(0, weight.shape[1])]
    low, high = min(int(x.min()), 0), max(int(x.max()), 0)
    per_channel = weight.astype(np.int64)
    positive = np.cumsum(np.maximum(per_channel, 0).sum(axis=(2, 3)), axis=1)
    negative = np.cumsum(np.maximum(-per_channel, 0).sum(axis=(2, 3)), axis=1)
    groups, first, limit = [], 0, _EXACT[np.dtype(np.float32)]
    base_p = base_n = np.zeros(weight.shape[0], np.int64)
    while first < weight.shape[1]:
        p, n = positive[:, first:] - base_p[:, None], negative[:, first:] - base_n[:, None]
        reach = np.maximum(p * high - n * low, n * high - p * low).max(axis=0, initial=0)
        count = max(1, int(np.searchsorted(reach, limit)))
        groups.append((first, first + count))
        first += count
        base_p, base_n = positive[:, first - 1], negative[:, first - 1]
    return groups


def _depthwise(x: Array, weight: Array, stride: Pair, dilation: Pair) -> Array:
    """One multiply-add per tap on blocks of channels."""
    kind = _sum_type(x, weight)
    kernel = weight[:, 0].astype(kind)
    view = windows(x, (weight.shape[2], weight.shape[3]), stride, dilation)
    n, c, kh, kw, oh, ow = view.shape
    out = np.empty((n, c, oh, ow), np.int64)
    step = max(1, _BLOCK // (oh * ow))
    for image in range(n):
        for first in range(0, c, step):
            part = slice(first, first + step)
            total = np.zeros((min(step, c - first), oh, ow), kind)
            scratch = np.empty_like(total)
            for ky, kx in taps((kh, kw)):
                factor = kernel[part, ky, kx, None, None]
                np.multiply(view[image, part, ky, kx], factor, out=scratch)
                total += scratch
            out[image, part] = total
    return out


def expand(x: Array, insert: Pair, pads: Pads, fill: int) -> Array:
    """The input as the convolution sees it (FACTS_TPU 3.5): `insert` rows and columns of
    `fill` between neighbours, then pads (top, left, bottom, right) of `fill`."""
    if any(insert):
        n, c, h, w = x.shape
        rows, columns = insert[0] + 1, insert[1] + 1
        spread = np.full((n, c, (h - 1) * rows + 1, (w - 1) * columns + 1), fill, x.dtype)
        spread[:, :, ::rows, ::columns] = x
        x = spread
    return pad2d(x, pads, fill)
