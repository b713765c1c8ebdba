"""From 32-bit sums to 8-bit results: the hardware's requantisation, in numpy integers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cvi.ir import Array

MAX_INT16 = 2**15 - 1
"""What the partial sums of a weighted sum must not exceed."""

_BLOCK = 1 << 16  # elements; int64 intermediates of this many stay in the L2 cache


def wrap32(sums: Array) -> Array:
    """Integers of any size as the 32-bit accumulator holds them: modulo 2^32, signed."""
    return sums.astype(np.int64, copy=False).astype(np.int32)


def partial_sum(multipliers: Sequence[int], bias: int) -> int:
    """The most that a bias and the products of int8 operands before the last one add up to, in
    any order."""
    return abs(bias) + 128 * sum(map(abs, multipliers[:-1]))


def saturate(values: Array, *, relu: bool = False) -> Array:
    """Limited to [-128, 127], or [0, 127] after a fused relu; int8."""
    return np.clip(values, 0 if relu else -128, 127).astype(np.int8)


def qdm(acc: Array, multiplier: int, shift: int) -> Array:
    """acc * multiplier * 2^-31 * 2^-shift before saturation (FACTS_TPU 3.3); int64.

    acc: integers within int32. Two roundings: h = floor((acc*m + 2^30) / 2^31), ties
    upwards, then |h| / 2^shift with ties away from zero.
    """
    h = (acc.astype(np.int64) * int(multiplier) + (1 << 30)) >> 31
    if shift == 0:
        return h
    # For negative h: ceil((h - half) / 2^s) = floor((h + half - 1) / 2^s).
    return (h + (1 << (shift - 1)) + (h >> 63)) >> shift


def requantise(acc: Array, multiplier: int, shift: int, *, relu: bool = False) -> Array:
    """sat8(relu(QDM(acc, multiplier, shift))) of integers of any shape; int8."""
    out = np.empty(acc.shape, np.int8)
    source, target = np.ascontiguousarray(acc).reshape(-1), out.reshape(-1)
    for start in range(0, source.size, _BLOCK):
        part = slice(start, start + _BLOCK)
        target[part] = saturate(qdm(source[part], multiplier, shift), relu=relu)
    return out


def requantise_channels(
    acc: Array, multipliers: Array, shifts: Array, *, relu: bool = False
) -> Array:
    """acc[n,c,h,w] with one multiplier and shift per channel; int8."""
    out = np.empty(acc.shape, np.int8)
    n, c, h, w = acc.shape
    step = max(1, _BLOCK // max(1, h * w))
    m = multipliers.astype(np.int64).reshape(-1, 1, 1)
    s = shifts.astype(np.int64).reshape(-1, 1, 1)
    half = np.where(s > 0, np.int64(1) << np.maximum(s - 1, 0), 0)
    # The sign correction of `qdm` only applies to channels that shift at all.
    correction = -(s > 0).astype(np.int64)
    for image in range(n):
        for first in range(0, c, step):
            part = slice(first, first + step)
            value = acc[image, part].astype(np.int64)
            value *= m[part]
            value += 1 << 30
            value >>= 31
            value += half[part] + (value < 0) * correction[part]
            value >>= s[part]
            out[image, part] = saturate(value, relu=relu)
    return out


def round_shift(values: Array, shift: int) -> Array:
    """floor(values / 2^shift + 1/2): the shift of tensor arithmetic (FACTS_TPU 3.3)."""
    half = (1 << shift) >> 1
    return np.asarray((values + half) >> shift)


def round_half_away(values: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.floating[Any]]:
    """Floats to whole floats, ties away from zero as C's round() does.

    The fraction is split off first: adding 0.5 to 0.49999997 would already round up.
    """
    whole = np.trunc(values)
    return np.asarray(whole + np.sign(values) * (np.abs(values - whole) >= 0.5), values.dtype)


def to_int8(values: npt.NDArray[np.floating[Any]]) -> Array:
    """Floats rounded half away from zero and saturated to [-128, 127]; NaN becomes 0."""
    finite = np.nan_to_num(values, nan=0.0, posinf=1e9, neginf=-1e9)
    bounded: Array = np.clip(round_half_away(finite), -128, 127)
    return bounded.astype(np.int8)
