"""BF16 number rules of the compute engine (FACTS_TPU 3.3).

Products are exact in fp32; every fp32 addition rounds toward zero; denormals are zero;
an overflow sticks and ends as the positive maximum. BF16 arrays are uint16 patterns.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cvi.ir.types import Array

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
_EXPONENT = np.uint32(0x7F800000)
_LARGEST = 0x7F7F
_MAX_FP32 = np.float32(3.4028234663852886e38)
_TINY = np.float32(2.0**-126)


def decode(bits: Array) -> Float32:
    """Values of BF16 patterns as fp32; an exponent of 0 gives +0, whatever the sign."""
    wide = np.asarray(bits).astype(np.uint32) << np.uint32(16)
    kept: npt.NDArray[np.uint32] = np.where(wide & _EXPONENT == 0, np.uint32(0), wide)
    return kept.astype(np.uint32).view(np.float32)


def encode(values: Array) -> npt.NDArray[np.uint16]:
    """BF16 patterns of fp32 values: nearest even; infinities and NaN of any sign become
    the positive maximum, denormals and -0 become +0."""
    raw = np.ascontiguousarray(values, np.float32).view(np.uint32).astype(np.uint64)
    bits = (raw + np.uint64(0x7FFF) + ((raw >> np.uint64(16)) & np.uint64(1))) >> np.uint64(16)
    exponent = (bits >> np.uint64(7)) & np.uint64(0xFF)
    special = (exponent == 255) | np.isnan(values)
    out: Array = np.where(special, _LARGEST, np.where(exponent == 0, 0, bits))
    return out.astype(np.uint16)


def flush(values: Float32) -> Float32:
    """Denormals to zero."""
    return np.where(np.abs(values) < _TINY, np.float32(0), values)


def multiply(a: Array, b: Array) -> Float32:
    """Exact products of BF16 values as fp32, denormal products flushed."""
    with np.errstate(all="ignore"):
        return flush(np.multiply(a, b, dtype=np.float32))


def add(a: Array, b: Array) -> Float32:
    """a + b of fp32 values, rounded toward zero.

    A finite overflow gives infinity, which later additions keep: overflow is sticky.
    """
    with np.errstate(all="ignore"):
        x, y = np.asarray(a, np.float64), np.asarray(b, np.float64)
        total = x + y
        # two-sum: what the double addition itself rounded away
        back = total - x
        lost = (x - (total - back)) + (y - back)
        near = total.astype(np.float32)
        wide = near.astype(np.float64)
        # one step back toward zero where rounding went away from zero
        away = np.abs(wide) > np.abs(total)
        away |= (wide == total) & (lost != 0) & ((lost > 0) != (total > 0))
        near = np.where(away & np.isfinite(near), np.nextafter(near, np.float32(0)), near)
    return flush(near)


def relu(values: Float32) -> Float32:
    """Negative numbers become zero, but not those that have overflowed (measured)."""
    negative = (values < 0) & np.isfinite(values)
    return np.where(negative, np.float32(0), values)


def split(values: Array) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint16]]:
    """High and low halves of fp32 values, as partial sums and biases are stored. An
    overflow or NaN is stored as the positive maximum."""
    with np.errstate(all="ignore"):
        finite = np.where(np.isfinite(values), values, _MAX_FP32).astype(np.float32)
    raw = np.ascontiguousarray(finite).view(np.uint32)
    return (raw >> np.uint32(16)).astype(np.uint16), (raw & np.uint32(0xFFFF)).astype(np.uint16)


def join(high: Array, low: Array) -> Float32:
    """fp32 values of their two halves."""
    wide: Any = high.astype(np.uint32) << np.uint32(16) | low.astype(np.uint32)
    return np.asarray(wide, np.uint32).view(np.float32)


def to_int8(bits: Array, signed: bool, toward_zero: bool) -> npt.NDArray[np.uint8]:
    """BF16 patterns to 8-bit integers as the DMA engine converts them (FACTS_TPU 4.3).

    Infinities saturate and magnitudes from 2^64 give 0, as in the vendor's simulator.
    """
    wide = np.asarray(bits).astype(np.uint32)
    exponent = wide >> np.uint32(7) & np.uint32(0xFF)
    value = (wide << np.uint32(16)).view(np.float32).astype(np.float64)
    low, high = (-128, 127) if signed else (0, 255)
    with np.errstate(all="ignore"):
        rounded = np.trunc(value) if toward_zero else np.rint(value)
    result = np.clip(np.nan_to_num(rounded), low, high)
    infinite = (exponent == 255) & (wide & np.uint32(0x7F) != 0)
    saturated = np.where(wide & np.uint32(0x8000) != 0, low, high)
    result = np.where(exponent == 255, saturated, result)
    result = np.where((exponent >= 191) & ~infinite, 0, result)
    return (result.astype(np.int64) & 0xFF).astype(np.uint8)
