"""BF16 as the compute engine has it, in numpy (FACTS_TPU 3.3). Patterns are uint16.

Products of two BF16 numbers are exact in fp32. Every fp32 addition rounds toward zero,
denormals become zero, an overflow sticks. A result is rounded to nearest even.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cvi.ir import Array

LARGEST, LOWEST = 0x7F7F, 0xFF7F
"""Patterns of the largest and of the lowest finite number."""

ONE = 0x3F80

_TINY = 2.0**-126
_OVERFLOW = 2.0**128
_KEPT = np.int64(~((1 << 29) - 1))
"""The bits of an fp64 number that an fp32 number of the normal range has too."""

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]


def encode(values: Array) -> Array:
    """Patterns of fp32 numbers: nearest even; infinities, NaN and overflows of any sign
    become the largest number, denormals and -0 become +0."""
    with np.errstate(over="ignore"):
        bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    odd = bits >> np.uint32(16) & np.uint32(1)
    rounded: Array = (bits + (odd + np.uint32(0x7FFF)) >> np.uint32(16)).astype(np.uint16)
    exponent = rounded & np.uint16(0x7F80)
    rounded[exponent == 0] = 0
    broken = (exponent == 0x7F80) | (bits & np.uint32(0x7F800000) == 0x7F800000)
    rounded[broken] = LARGEST
    return rounded


def decode(patterns: Array) -> Float32:
    """Numbers of patterns; denormals and -0 are +0, infinities and NaN stay."""
    wide = np.asarray(patterns).astype(np.uint32)
    wide[wide & np.uint32(0x7F80) == 0] = 0
    numbers: Float32 = (wide << np.uint32(16)).view(np.float32)
    return numbers


def pattern(value: float) -> int:
    """The pattern of one real number."""
    return int(encode(np.array([value], np.float32))[0])


def nearest(value: float) -> float:
    """The BF16 number nearest to a real number."""
    return float(decode(encode(np.array([value], np.float32)))[0])


def canonical(patterns: Array) -> Array:
    """Patterns as the engine writes them when it copies numbers."""
    return encode(decode(patterns))


def stored(values: Array) -> Float32:
    """fp32 numbers as they are after a result was rounded."""
    return decode(encode(values))


def truncated(values: Array) -> Array:
    """Patterns of fp32 numbers by their upper halves."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    upper: Array = (bits >> np.uint32(16)).astype(np.uint16)
    return upper


def flushed(values: Any) -> Any:
    """Numbers below the normal range of fp32 as zero."""
    return np.where(np.abs(values) < _TINY, values.dtype.type(0), values)


def in_range(values: Float64) -> Float64:
    """fp64 numbers as fp32 has them at both ends of its range: zeros and infinities."""
    bounded: Float64 = np.where(np.abs(values) >= _OVERFLOW, np.copysign(np.inf, values), values)
    return np.asarray(flushed(bounded))


def multiply(a: Array, b: Array) -> Float32:
    """Products of BF16 numbers, exact in fp32."""
    with np.errstate(all="ignore"):
        product: Float32 = flushed(np.multiply(a, b, dtype=np.float32))
    return product


def add(a: Array, b: Array) -> Float32:
    """Sums of fp32 numbers rounded toward zero; an overflow is an infinity and stays one."""
    with np.errstate(all="ignore"):
        total = toward_zero(np.asarray(a, np.float64), np.asarray(b, np.float64))
        single: Float32 = total.astype(np.float32)
    return single


def subtract(a: Array, b: Array) -> Float32:
    """Differences of fp32 numbers rounded toward zero."""
    return add(a, -np.asarray(b))


def relu(values: Float32) -> Float32:
    """Zero instead of negative numbers. What has overflowed stays so, whatever its sign
    (measured)."""
    return np.where((values > 0) | ~np.isfinite(values), values, np.float32(0))


def overflowing(values: Array, *operands: Array) -> Array:
    """Results of comparisons, but an infinity where an operand is no finite number: that is
    an overflow whatever it is compared with (measured)."""
    finite = np.isfinite(operands[0])
    for operand in operands[1:]:
        finite = finite & np.isfinite(operand)
    return np.where(finite, values, np.float32(np.inf))


def toward_zero(a: Float64, b: Float64) -> Float64:
    """a + b of numbers that fp32 holds, rounded toward zero to what fp32 holds.

    The fp64 sum is cut to 24 bits. Where it was itself rounded away from zero (its error,
    by Knuth's two-sum, points back to zero) it is one step smaller before.
    """
    with np.errstate(all="ignore"):  # infinities
        total = a + b
        part = total - a
        error = (a - (total - part)) + (b - part)
    away = (error != 0) & (np.signbit(error) != np.signbit(total))
    bits = np.asarray(total).view(np.int64)
    bits = np.where(np.isfinite(total), (bits - away) & _KEPT, bits)
    return in_range(bits.view(np.float64))


def cut(total: Float64) -> None:
    """Round fp64 numbers toward zero to 24 bits, in place."""
    bits = total.view(np.int64)
    np.bitwise_and(bits, _KEPT, out=bits)
