"""The tables of `Bf16Interpolate` and `Bf16Split` for a function."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cvi.ir import Array
from cvi_tpu.quantized.bf16 import LARGEST, LOWEST, decode, encode

Function = Callable[[Array], Array]

CELLS = 129
_HALF_RANGE = 64


@dataclass(frozen=True)
class Lines:
    """Straight lines on the 129 cells of a range.

    scale: cells per unit, a power of two so that scaling is exact. offset: as in
    Bf16Interpolate. base, slope: patterns [256].
    """

    scale: float
    offset: float
    base: Array
    slope: Array


def lines(
    function: Function, reach: float, *, below_zero: bool = False,
    low: float | None = None, high: float | None = None,
) -> Lines:  # fmt: skip
    """The best lines for a function on [-reach, reach], or [-reach, 0] if below_zero.

    reach: a power of two. low, high: what the function tends to below and above the range;
    None: it goes on as the line of the last cell does. With below_zero it is exact at 0.
    """
    cells = np.arange(CELLS) - (CELLS - 1 if below_zero else _HALF_RANGE)
    scale = (CELLS - 1) / reach / (1 if below_zero else 2)
    base, slope = _chords(function, cells / scale, 0.5 / scale)
    if below_zero:
        end, before = function(np.array([0.0, -0.5 / scale]))
        base[-1], slope[-1] = end, 2 * (end - before)
    for at, limit in ((0, low), (-1, high)):
        if limit is not None:
            base[at], slope[at] = limit, 0.0
    offset = 256.0 if below_zero else 192.0
    return Lines(scale, offset, _padded(base), _padded(slope))


def _chords(function: Function, x: Array, half: float) -> tuple[Array, Array]:
    """Value in the middle and rise of the line over each cell [x - half, x + half] that is
    equally far off in the middle and at the ends: half as far as chord or tangent."""
    left, middle, right = function(x - half), function(x), function(x + half)
    return (left + right) / 4 + middle / 2, right - left


def _padded(values: Array) -> Array:
    table = np.zeros(256, np.float32)
    table[:CELLS] = values
    return encode(table)


@dataclass(frozen=True)
class Parts:
    """Tables of the high and of the low byte, patterns [256]."""

    upper: Array
    lower: Array


_BIAS = 127
_LOWEST, _HIGHEST = decode(np.array([LOWEST, LARGEST], np.uint16)).tolist()


def power(exponent: float) -> Parts:
    """Tables of x^exponent. Zero (and what is below 2^-125) becomes 0, 1 or the largest
    number. Negative numbers have a power where the exponent is whole; otherwise they are
    taken for zero.
    """
    steps = 2 * np.arange(128) - _BIAS + 1  # exponent of the high byte with last bit 1
    with np.errstate(over="ignore"):
        positive = np.exp2(exponent * steps.astype(np.float64))
    positive[0] = 0.0 if exponent > 0 else 1.0 if exponent == 0 else _HIGHEST
    negative = np.full(128, positive[0])
    if float(exponent).is_integer():
        negative = positive * (-1 if exponent % 2 else 1)
        negative[0] = positive[0]
    return Parts(_clipped(np.concatenate([positive, negative])), encode(_mantissas() ** exponent))


def logarithm() -> Parts:
    """Tables of ln x, to be added; the lowest number for zero and below."""
    steps = 2.0 * np.arange(128) - _BIAS + 1
    upper = np.full(256, _LOWEST)
    upper[1:128] = steps[1:] * math.log(2)
    return Parts(_clipped(upper), encode(np.log(_mantissas()).astype(np.float32)))


def _mantissas() -> Array:
    """What the low byte stands for beside the high byte's power of two: 1/2 to 1 with the
    last bit of the exponent 0, 1 to 2 with 1."""
    index = np.arange(256)
    return np.asarray(np.where(index < 128, 0.5, 1.0) * (1 + index % 128 / 128), np.float32)


def _clipped(values: Array) -> Array:
    return encode(np.clip(values, _LOWEST, _HIGHEST).astype(np.float32))


def _numbers() -> Array:
    """fp32[256, 256], what the bytes stand for; infinities and NaN the number next to them."""
    found = decode(np.arange(1 << 16, dtype=np.uint16)).reshape(256, 256)
    largest = np.where(np.arange(256) < 128, _HIGHEST, _LOWEST)[:, None]
    return np.where(np.isfinite(found), found, largest.astype(np.float32))


def truth(holds: Callable[[Array], Array]) -> Parts:
    """Tables whose sum is 1 or more where a condition on a number holds, elsewhere 0 or less.

    The high byte decides (1 or -1) or leaves it to the low one (0). All high bytes that leave
    it must do so alike, as those of a comparison with one number do, or with it and its
    negative. ValueError otherwise.
    """
    true = holds(_numbers())
    open_rows = true.any(axis=1) & ~true.all(axis=1)
    lower = true[open_rows].any(axis=0)
    if not np.array_equal(true[open_rows], np.broadcast_to(lower, true[open_rows].shape)):
        raise ValueError("no two tables tell where the condition holds")
    upper = np.where(open_rows, 0.0, np.where(true[:, 0], 1.0, -1.0))
    return Parts(encode(upper.astype(np.float32)), encode(np.asarray(lower, np.float32)))


def products(function: Function, most: float = math.inf) -> list[Parts]:
    """Pairs of tables of which one product is the function, correctly rounded, and all others
    are 0.

    Of one pair are the high bytes whose rows of results are the same but for a power of two
    and a sign. Numbers below 2^-125 count as 0. Where the function is not defined, and for
    numbers from `most` on, it is 0; an infinity is the largest number.
    """
    x = _numbers().astype(np.float64)
    x[::128] = 0.0
    with np.errstate(all="ignore"):
        y = np.where(np.abs(x) < most, np.nan_to_num(function(x), nan=0.0), 0.0)
    return _grouped(decode(_clipped(y)))


def _grouped(rows: Array) -> list[Parts]:
    """Tables whose products add up to rows [256, 256] of BF16 numbers."""
    found: dict[bytes, tuple[Array, Array]] = {}
    for high, whole in enumerate(rows):
        for row in _within_range(whole):
            factor = _unit(row)
            lower = row / factor
            upper, _ = found.setdefault(lower.tobytes(), (np.zeros(256, np.float32), lower))
            upper[high] = factor
    return [Parts(encode(upper), encode(lower)) for upper, lower in found.values()]


def _within_range(row: Array) -> list[Array]:
    """Rows that add up to a row and are not all zeros; poles by themselves where they are so
    far from the rest that no factor serves both."""
    size = np.abs(row)
    rest = np.where(size < _HIGHEST, row, np.float32(0))
    if (size[rest != 0] < 2.0).any() and (size == _HIGHEST).any():
        return [rest, row - rest]
    return [row] if row.any() else []


def _unit(row: Array) -> float:
    """The power of two of the largest element of a row with the sign of the first that is not
    0."""
    _, exponent = math.frexp(float(np.abs(row).max()))
    return math.copysign(2.0 ** (exponent - 1), row[row != 0][0])


def log_tail(first: float, *, odd: bool) -> list[Parts]:
    """Pairs of tables whose products add up to ln(2x) for numbers from `first` = 2^(2k + 1)
    on, and to -ln(-2x) for those below -first if odd; to 0 for all others."""
    steps = 2.0 * np.arange(128) - _BIAS + 1
    sign = np.where(steps > math.log2(first), 1.0, 0.0)
    signs = np.concatenate([sign, -sign if odd else np.zeros(128)])
    whole = signs * np.tile((steps + 1) * math.log(2), 2)
    ones = np.ones(256, np.float32)
    return [
        Parts(encode(whole.astype(np.float32)), encode(ones)),
        Parts(encode(signs.astype(np.float32)), encode(np.log(_mantissas()).astype(np.float32))),
    ]
