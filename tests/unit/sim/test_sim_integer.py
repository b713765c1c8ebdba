"""Number rules of the integer unit, against exact arithmetic on Python integers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvi.errors import RunnerError
from cvi_tpu.sim.integer import requantize, saturate, shift_right
from cvi_tpu.sim.products import product

int32 = st.integers(-(1 << 31), (1 << 31) - 1)


def _scaled(acc: int, multiplier: int, shift: int) -> int:
    """FACTS_TPU 3.3, in exact integers."""
    high = (acc * multiplier + (1 << 30)) // (1 << 31)
    half = 1 << shift - 1 if shift else 0
    size = (abs(high) + half) >> shift
    return size if high >= 0 else -size


@given(int32, st.integers(0, (1 << 31) - 1), st.integers(0, 31))
def test_requantize_is_exact(acc: int, multiplier: int, shift: int) -> None:
    got = requantize(np.array([acc], np.int32), multiplier, shift)
    assert int(got[0]) == _scaled(acc, multiplier, shift)


@given(st.lists(st.tuples(int32, int32, st.integers(0, 31)), min_size=1, max_size=8))
def test_requantize_per_channel(rows: list[tuple[int, int, int]]) -> None:
    acc, multiplier, shift = (np.array(column)[:, None] for column in zip(*rows, strict=True))
    got = requantize(acc.astype(np.int32), multiplier.astype(np.int32), shift)
    assert got.ravel().tolist() == [_scaled(*row) for row in rows]


def test_large_multipliers_act_negative() -> None:
    got = requantize(np.array([1 << 20], np.int32), 0x8000_0000, 0)
    assert int(got[0]) == -(1 << 20)


def test_ties_are_rounded_away_from_zero() -> None:
    acc = np.array([3, -3, 1, -1, 5, -5], np.int32)
    got = requantize(acc, 1 << 30, 0)  # acc / 2, first rounding: half up
    assert got.tolist() == [2, -1, 1, 0, 3, -2]
    doubled = requantize(acc * 2, 1 << 30, 1)  # acc / 2, second rounding: half away
    assert doubled.tolist() == [2, -2, 1, -1, 3, -3]


def test_shifts_above_31_are_undefined() -> None:
    with pytest.raises(RunnerError, match="32 bits"):
        requantize(np.array([1], np.int32), 1 << 30, 32)


@given(int32, st.integers(0, 31))
def test_shift_right(value: int, shift: int) -> None:
    rounded = shift_right(np.array([value], np.int64), shift)
    floored = shift_right(np.array([value], np.int64), shift, rounding=False)
    half = 1 << shift - 1 if shift else 0
    assert int(rounded[0]) == (value + half) >> shift
    assert int(floored[0]) == value >> shift


@pytest.mark.parametrize(
    ("signed", "bits", "relu", "want"),
    [
        (True, 8, False, [-128, -1, 127]),
        (False, 8, False, [0, 0, 255]),
        (True, 8, True, [0, 0, 127]),
        (True, 16, False, [-32768, -1, 32767]),
        (False, 16, False, [0, 0, 65535]),
    ],
)
def test_saturate(signed: bool, bits: int, relu: bool, want: list[int]) -> None:
    values = np.array([-100000, -1, 100000])
    assert saturate(values, signed, bits, relu=relu).tolist() == want


@pytest.mark.parametrize("depth", [1, 500, 520, 1100, 5000])
@pytest.mark.parametrize("largest", [128, 255])
def test_products_are_exact_at_the_extremes(depth: int, largest: int) -> None:
    """Odd sums above 2^24, which plain fp32 sums cannot hold."""
    weights = np.full((2, depth), -128, np.float32)
    weights[1] = np.random.default_rng(depth).integers(-128, 128, depth)
    weights[0, 0] = 127
    other = np.full((depth, 3), largest if largest == 255 else -128, np.float32)
    other[0] = 1
    got = product(weights, other, weights=weights, largest=largest)
    want = weights.astype(np.int64) @ other.astype(np.int64)
    np.testing.assert_array_equal(got, want)
