"""BF16 arithmetic against exact fractions, and the order of sums."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cvi.ir import Array
from cvi_tpu.quantized import bf16
from cvi_tpu.quantized.bf16_sums import convolution, products

patterns = st.integers(0, 0xFFFF)
finite = st.floats(width=32, allow_nan=False, allow_infinity=False)


def chopped(value: Fraction) -> float:
    """A real number rounded toward zero to fp32; below the normal range zero."""
    if abs(value) < Fraction(2) ** -126:
        return 0.0
    if abs(value) >= Fraction(2) ** 128:
        return float("inf") if value > 0 else float("-inf")
    exponent = abs(value).numerator.bit_length() - abs(value).denominator.bit_length()
    exponent -= abs(value) < Fraction(2) ** exponent
    unit = Fraction(2) ** (exponent - 23)
    steps = abs(value) // unit
    return float(steps * unit) * (1 if value > 0 else -1)


@given(finite, finite)
@settings(max_examples=300, deadline=None)
def test_sums_round_toward_zero(a: float, b: float) -> None:
    got = bf16.add(np.array([a], np.float32), np.array([b], np.float32))
    assert float(got[0]) == chopped(Fraction(a) + Fraction(b))


@pytest.mark.parametrize(
    ("a", "b"),
    [(1.0, -(2.0**-60)), (-1.0, 2.0**-40), (2.0**-100, -1.0), (1.0, 2.0**-24), (-1.0, 1.0)],
)
def test_sums_of_numbers_far_apart(a: float, b: float) -> None:
    got = bf16.add(np.float32([a]), np.float32([b]))
    assert float(got[0]) == chopped(Fraction(a) + Fraction(b))


@given(finite)
@settings(max_examples=300, deadline=None)
def test_results_are_the_nearest_even(value: float) -> None:
    got = int(bf16.encode(np.float32([value]))[0])
    bits = int(np.float32(value).view(np.uint32))
    low, rest = bits >> 16, bits & 0xFFFF
    up = rest > 0x8000 or (rest == 0x8000 and low & 1)
    want = low + up
    if want & 0x7F80 == 0x7F80:
        want = bf16.LARGEST
    assert got == (want if want & 0x7F80 else 0)


def test_what_is_no_number_becomes_the_largest() -> None:
    values = np.float32([np.inf, -np.inf, np.nan, -np.nan, 3.4e38, -3.4e38, 1e-45, -0.0])
    assert bf16.encode(values).tolist() == [0x7F7F] * 6 + [0, 0]
    assert bf16.decode(np.uint16([0x8000, 0x807F, 0x7F80])).tolist() == [0, 0, np.inf]
    assert bf16.relu(np.float32([-1, 2, -np.inf])).tolist() == [0, 2, -np.inf]


def slow_sum(terms: list[tuple[float, float]], step: int = 0) -> float:
    """One product after the other, each sum rounded toward zero."""
    total = np.zeros(1, np.float32)
    for k, (a, b) in enumerate(terms):
        if step and k % step == 0 and not np.isfinite(total[0]):
            total[0] = np.finfo(np.float32).max
        total = bf16.add(total, bf16.multiply(np.float32([a]), np.float32([b])))
    return float(total[0])


def numbers(rng: np.random.Generator, shape: tuple[int, ...], spread: int) -> Array:
    values = rng.standard_normal(shape) * 2.0 ** rng.integers(-spread, spread + 1, shape)
    values[rng.random(shape) < 0.2] = 0
    return bf16.decode(bf16.encode(values.astype(np.float32)))


@pytest.mark.parametrize("spread", [0, 8, 30, 55])
@pytest.mark.parametrize("step", [0, 5])
def test_convolutions_sum_in_the_hardwares_order(spread: int, step: int) -> None:
    rng = np.random.default_rng(spread)
    x, w = numbers(rng, (1, 12, 5, 6), spread), numbers(rng, (3, 12, 2, 3), spread)
    got = convolution(x, w, (1, 2), step=step)
    for o, y, c in np.ndindex(*got.shape[1:]):
        terms = [
            (float(x[0, i, y + ky, 2 * c + kx]), float(w[o, i, ky, kx]))
            for first in range(0, 12, step or 12)
            for ky in range(2)
            for kx in range(3)
            for i in range(first, min(first + (step or 12), 12))
        ]
        assert float(got[0, o, y, c]) == slow_sum(terms)


def test_depthwise_convolutions_and_groups() -> None:
    rng = np.random.default_rng(0)
    x, w = numbers(rng, (2, 4, 5, 5), 20), numbers(rng, (4, 1, 3, 3), 20)
    got = convolution(x, w, (1, 1), group=4)
    terms = [(float(x[1, 2, 1 + y, c]), float(w[2, 0, y, c])) for y in range(3) for c in range(3)]
    assert float(got[1, 2, 1, 0]) == slow_sum(terms)
    wide = numbers(rng, (6, 2, 1, 1), 20)
    got = convolution(x, wide, (1, 1), group=2)
    terms = [(float(x[0, i, 4, 4]), float(wide[5, i - 2, 0, 0])) for i in (2, 3)]
    assert float(got[0, 5, 4, 4]) == slow_sum(terms)


def test_matrices_are_summed_in_a_given_order() -> None:
    rng = np.random.default_rng(1)
    a, b = numbers(rng, (2, 3, 9), 25), numbers(rng, (9, 4), 25)
    order = np.array([0, 4, 8, 1, 5, 2, 6, 3, 7])
    got = products(a, b, order)
    for n, m, c in np.ndindex(2, 3, 4):
        terms = [(float(a[n, m, k]), float(b[k, c])) for k in order.tolist()]
        assert float(got[n, m, c]) == slow_sum(terms)


def test_an_overflow_sticks_within_a_pass() -> None:
    x = np.float32([2.0**127, 2.0**127, -(2.0**127), 1]).reshape(1, 4, 1, 1)
    w = np.ones((1, 4, 1, 1), np.float32)
    assert bf16.encode(convolution(x, w, (1, 1)))[0, 0, 0, 0] == bf16.LARGEST
    passes = convolution(x, w, (1, 1), step=2)
    assert 0 < float(passes[0, 0, 0, 0]) < 2.0**128
