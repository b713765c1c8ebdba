"""Integer number rules of the compute engine (FACTS_TPU 3.3)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cvi.errors import RunnerError
from cvi.ir.types import Array

Int64 = npt.NDArray[np.int64]


def limits(signed: bool, bits: int = 8) -> tuple[int, int]:
    """Smallest and largest value of an integer of that many bits."""
    if signed:
        return -(1 << bits - 1), (1 << bits - 1) - 1
    return 0, (1 << bits) - 1


def saturate(values: Array, signed: bool, bits: int = 8, *, relu: bool = False) -> Array:
    """Clamp in place; with relu negatives become 0."""
    low, high = limits(signed, bits)
    np.maximum(values, 0 if relu else low, out=values)
    np.minimum(values, high, out=values)
    return values


def shift_right(values: Array, shift: int, *, rounding: bool = True) -> Array:
    """In place: floor((v + 2^(shift-1)) / 2^shift), or floor(v / 2^shift) without rounding.

    `values` must be wide enough for the sum.
    """
    if shift:
        if rounding:
            values += 1 << shift - 1
        values >>= shift
    return values


def requantize(acc: Array, multiplier: Array | int, shift: Array | int) -> Int64:
    """QDM of int32 accumulators: scale by multiplier * 2^-31 * 2^-shift.

    multiplier: int32, or 32 bits that are taken as such; shift: 0..31; both broadcast
    against acc. Two roundings: the product to 31 bits half up, then the shift half away
    from zero.
    """
    m = np.asarray(multiplier).astype(np.uint32).view(np.int32).astype(np.int64)
    s = np.asarray(shift, np.int64)
    if s.size and (s.max() > 31 or s.min() < 0):
        raise RunnerError(f"a requantisation shifts by {int(s.max())} bits; at most 31 are defined")
    h: Int64 = np.multiply(acc, m, dtype=np.int64)
    h += 1 << 30
    h >>= 31
    # half away from zero: floor((h + half) / 2^s), and one less before the shift if h < 0
    if s.ndim or s:
        half = np.where(s > 0, np.int64(1) << np.maximum(s - 1, 0), 0)
        sign = h >> 63
        if s.ndim:
            sign &= -(s > 0).astype(np.int64)
        h += sign
        h += half
        h >>= s
    return h
