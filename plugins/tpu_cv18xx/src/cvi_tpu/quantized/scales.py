"""Scales and the integers that realise a ratio of scales."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from cvi_tpu.quantized.requantise import MAX_INT16, partial_sum

STEPS = 127
"""A threshold T is stored as 127: one step is T / 127 (DECISIONS)."""

OFFSET_STEPS = 255
"""Where 0 is stored as -128 and a threshold T as 127: one step is T / 255."""

LOWEST = -128
"""The integer that stands for 0 there."""

MOST_TERMS = 64
"""Operands of one sum: their multipliers add up to at most 255 and should not be tiny."""

LARGEST = 2**31 - 1
"""The largest multiplier of QDM; larger ones act negative (FACTS_TPU 3.3)."""


class Rate(NamedTuple):
    """A ratio as QDM realises it: multiplier * 2^-31 * 2^-shift."""

    multiplier: int
    shift: int


class Gain(NamedTuple):
    """A ratio that may exceed 1: weight * multiplier * 2^-31 * 2^-shift, weight 1..127."""

    weight: int
    multiplier: int
    shift: int


def same_scale(a: float, b: float) -> bool:
    """Whether two scales are one: they may differ by rounding (1 / (1 / s)) only."""
    return math.isclose(a, b, rel_tol=1e-6)


def rate(ratio: float) -> Rate:
    """The multiplier and shift of a ratio in [0, 1).

    The multiplier has 31 significant bits (it lies in [2^30, 2^31)), fewer for ratios
    below 2^-32, which turn no 32-bit sum into more than one step.
    """
    if not 0 <= ratio < 1:
        raise ValueError(f"the ratio {ratio} is not in [0, 1)")
    _, exponent = math.frexp(ratio)
    shift = min(max(-exponent, 0), 31)
    multiplier = round(math.ldexp(ratio, 31 + shift))
    if multiplier > LARGEST and shift > 0:
        multiplier, shift = round(math.ldexp(ratio, 30 + shift)), shift - 1
    return Rate(min(multiplier, LARGEST), shift)


def gain(ratio: float) -> Gain:
    """Weight, multiplier and shift of any ratio >= 0, for integers of few bits.

    QDM rounds twice, and its first rounding is at 2^shift of a step: it must not be a
    coarse one. The weight 64 puts it six bits below the result. From a ratio of 64 on
    the weight is 127, from 127 on with the largest multiplier: every integer but 0
    saturates already.
    """
    weight = 64 if ratio < 64 else STEPS
    return Gain(weight, *rate(min(ratio / weight, LARGEST / 2**31)))


class AddRates(NamedTuple):
    """Multipliers in [-127, 127], one per operand, their common shift 0..15, and what is added
    to the products before it."""

    multipliers: tuple[int, ...]
    shift: int
    bias: int = 0


def add_rates(
    ratios: Sequence[float], zeros: Sequence[int] | None = None, y_zero: int = 0
) -> AddRates:
    """8-bit multipliers of a weighted sum, rounded to nearest.

    zeros, y_zero: the integers that stand for 0 in the operands and the result; the bias makes
    up for them. The shift is the largest at which every |multiplier| is at most 127 and partial
    sums fit int16 (`partial_sum`). The error of a multiplier is at most 1/2: below 0.8 % of the
    largest ratio, unless the partial sums (of four operands or more, or with zeros) cost another
    bit. Ratios must not exceed 127.
    """
    zeros = zeros or (0,) * len(ratios)
    for shift in range(15, -1, -1):
        multipliers = tuple(_nearest(math.ldexp(r, shift)) for r in ratios)
        bias = (y_zero << shift) - sum(m * z for m, z in zip(multipliers, zeros, strict=True))
        fits = partial_sum(multipliers, bias) <= MAX_INT16
        if fits and max(map(abs, multipliers)) <= STEPS:
            return AddRates(multipliers, shift, bias)
    raise ValueError(f"ratios {tuple(ratios)} have no 8-bit multipliers")


def add_limit(ratios: Sequence[float]) -> float:
    """By which factor the ratios exceed what `add_rates` can realise; 1 when they do not.

    Each multiplier may round up by 1/2.
    """
    room = 255 - len(ratios) / 2
    return max(1.0, max(map(abs, ratios)) / 126, sum(map(abs, ratios[:-1])) / room)


def _nearest(value: float) -> int:
    return math.floor(abs(value) + 0.5) * (1 if value >= 0 else -1)


def to_steps(value: float, scale: float) -> int:
    """A real value in steps of a scale: rounded half away from zero, within int8."""
    bounded = min(max(value / scale, -128.0), 127.0)
    return _nearest(bounded)
