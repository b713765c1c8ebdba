"""Sampling an image at the places of a grid, as PyTorch's grid_sample."""

from __future__ import annotations

import numpy as np

from cvi.errors import ModelError, UnsupportedError
from cvi.ir.types import Array
from cvi_tpu.runtime.functions.call import Call
from cvi_tpu.runtime.functions.registry import cpu_function

BILINEAR, NEAREST = 0, 1
ZEROS, BORDER, REFLECTION = 0, 1, 2
_HALF, _ONE = np.float32(0.5), np.float32(1)


@cpu_function("grid_sampler")
def grid_sampler(call: Call) -> list[Array]:
    """Inputs: an image [n, c, h, w] and a grid [n, oh, ow, 2] of x and y in -1 to 1.

    `mode`: 0 bilinear, 1 nearest. `padding_mode`: 0 zeros, 1 border, 2 reflection.
    `align_corners`: whether -1 and 1 are the centres of the outermost pixels.
    """
    x, grid = call.fp32(0), call.fp32(1)
    mode, padding = call.argument("mode", int), call.argument("padding_mode", int)
    corners = call.argument("align_corners", bool)
    n, c, h, w = x.shape
    if grid.shape[0] < n or grid.shape[3] != 2:
        raise ModelError(f"a grid of {grid.shape} for an image of {x.shape}")
    if mode not in (BILINEAR, NEAREST) or padding not in (ZEROS, BORDER, REFLECTION):
        raise UnsupportedError(f"grid_sampler has no 'mode' {mode} with 'padding_mode' {padding}")
    call.fills(n * c * grid.shape[1] * grid.shape[2])
    fx = _pixel(grid[:n, :, :, 0], w, padding, corners)
    fy = _pixel(grid[:n, :, :, 1], h, padding, corners)
    if mode == NEAREST:
        return [_at(x, _whole(_rounded(fy)), _whole(_rounded(fx)))]
    return [_bilinear(x, fy, fx)]


def _pixel(coordinate: Array, size: int, padding: int, corners: bool) -> Array:
    """The place in pixels, fp32, after padding."""
    if corners:
        place = (coordinate + _ONE) * _HALF * np.float32(size - 1)
    else:
        place = ((coordinate + _ONE) * np.float32(size) - _ONE) * _HALF
    if padding == REFLECTION:
        low, high = (0, 2 * (size - 1)) if corners else (-1, 2 * size - 1)
        place = _reflected(place, np.float32(low / 2), np.float32((high - low) / 2))
    if padding == ZEROS:
        return np.asarray(place)
    limit = np.float32(size - 1)
    place = np.where(place < 0, np.float32(0), place)
    inside: Array = np.where(place < limit, place, limit)  # NaN becomes the limit
    return inside


def _reflected(place: Array, low: np.float32, span: np.float32) -> Array:
    """Mirrored at low and low + span until it lies between them."""
    if span == 0:
        return np.zeros_like(place)
    away = np.abs(place - low)
    extra = np.fmod(away, span)
    odd = _whole(np.floor(away / span)) % 2 != 0
    mirrored: Array = np.where(odd, span - extra + low, extra + low)
    return mirrored


def _whole(place: Array) -> Array:
    """Integers of whole numbers; what is far outside stays outside."""
    bounded: Array = np.nan_to_num(np.clip(place, -(2.0**30), 2.0**30), nan=-(2.0**30))
    return bounded.astype(np.int64)


def _rounded(place: Array) -> Array:
    """Half away from zero."""
    wide = place.astype(np.float64)
    rounded: Array = np.trunc(wide + np.copysign(0.5, wide))
    return rounded


def _at(x: Array, row: Array, column: Array) -> Array:
    """Pixels of all channels, 0 outside: [n, c, oh, ow]."""
    n, _, h, w = x.shape
    inside = (row >= 0) & (row < h) & (column >= 0) & (column < w)
    batch = np.arange(n)[:, None, None]
    pixels = x[batch, :, np.clip(row, 0, h - 1), np.clip(column, 0, w - 1)]
    found: Array = np.where(inside[..., None], pixels, np.float32(0)).transpose(0, 3, 1, 2)
    return found


def _bilinear(x: Array, fy: Array, fx: Array) -> Array:
    """The four neighbours, added in the order of the vendor's function; those outside are
    left out, not multiplied by 0."""
    row, column = _whole(np.floor(fy)), _whole(np.floor(fx))
    dy, dx = (fy - row.astype(np.float32))[:, None], (fx - column.astype(np.float32))[:, None]
    ty, tx = _ONE - dy, _ONE - dx
    total = np.zeros((x.shape[0], x.shape[1], *fy.shape[1:]), np.float32)
    weights = ((0, 0, tx * ty), (0, 1, dx * ty), (1, 0, tx * dy), (1, 1, dx * dy))
    for down, right, weight in weights:
        r, c = row + down, column + right
        inside = (r >= 0) & (r < x.shape[2]) & (c >= 0) & (c < x.shape[3])
        total = np.where(inside[:, None], total + _at(x, r, c) * weight, total)
    return total
