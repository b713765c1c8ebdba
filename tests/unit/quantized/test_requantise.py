"""The requantisation against its formula in unbounded Python integers."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvi_tpu.quantized.requantise import (
    qdm,
    requantise,
    requantise_channels,
    round_half_away,
    round_shift,
    to_int8,
    wrap32,
)

INT32 = st.integers(-(2**31), 2**31 - 1)
MULTIPLIER = st.one_of(st.integers(2**30, 2**31 - 1), st.integers(0, 2**31 - 1))
SHIFT = st.integers(0, 31)


def literal_qdm(acc: int, m: int, s: int) -> int:
    """FACTS_TPU 3.3, step by step, on Python integers."""
    h = (acc * m + 2**30) // 2**31
    half = (1 << s) // 2
    magnitude = (abs(h) + half) // (1 << s)
    return magnitude if h >= 0 else -magnitude


def literal_result(acc: int, m: int, s: int, relu: bool) -> int:
    return max(0 if relu else -128, min(127, literal_qdm(acc, m, s)))


@given(INT32, MULTIPLIER, SHIFT)
def test_qdm_is_the_formula(acc: int, m: int, s: int) -> None:
    assert qdm(np.array([acc]), m, s).tolist() == [literal_qdm(acc, m, s)]


@pytest.mark.parametrize("acc", [-(2**31), 2**31 - 1, -1, 0, 1])
@pytest.mark.parametrize("m", [0, 1, 2**30, 2**31 - 1])
@pytest.mark.parametrize("s", [0, 1, 31])
def test_qdm_at_the_corners(acc: int, m: int, s: int) -> None:
    assert qdm(np.array([acc]), m, s).tolist() == [literal_qdm(acc, m, s)]


@given(st.integers(-300, 300), st.integers(1, 20))
def test_the_second_rounding_takes_ties_away_from_zero(whole: int, s: int) -> None:
    # multiplier 2^30 with an even accumulator: h is exact, only the shift rounds
    h = whole * 2**s + 2 ** (s - 1)
    expected = whole + 1 if h > 0 else whole
    assert qdm(np.array([2 * h]), 2**30, s).tolist() == [expected]


def test_the_first_rounding_takes_ties_upwards() -> None:
    assert qdm(np.array([-3, -1, 1, 3]), 2**30, 0).tolist() == [-1, 0, 1, 2]


@given(st.lists(INT32, min_size=1, max_size=40), MULTIPLIER, SHIFT, st.booleans())
def test_requantise_saturates_and_clamps(accs: list[int], m: int, s: int, relu: bool) -> None:
    expected = [literal_result(a, m, s, relu) for a in accs]
    result = requantise(np.array(accs, np.int32), m, s, relu=relu)
    assert result.dtype == np.int8
    assert result.tolist() == expected


def test_requantise_of_more_than_one_block_keeps_its_place() -> None:
    acc = np.arange(200_000, dtype=np.int32).reshape(2, 100_000) - 100_000
    result = requantise(acc, 2**30, 9)
    for i, j in ((0, 0), (0, 65_535), (0, 65_536), (1, 31_072), (1, 99_999)):
        assert result[i, j] == literal_result(int(acc[i, j]), 2**30, 9, False)


@given(st.data())
def test_every_channel_has_its_own_rate(data: st.DataObject) -> None:
    n, c = data.draw(st.integers(1, 2)), data.draw(st.integers(1, 4))
    acc = np.array(
        data.draw(st.lists(INT32, min_size=n * c * 6, max_size=n * c * 6)), np.int32
    ).reshape(n, c, 2, 3)
    m = data.draw(st.lists(MULTIPLIER, min_size=c, max_size=c))
    s = data.draw(st.lists(SHIFT, min_size=c, max_size=c))
    relu = data.draw(st.booleans())
    result = requantise_channels(acc, np.array(m, np.uint32), np.array(s, np.uint8), relu=relu)
    for index in np.ndindex(acc.shape):
        channel = index[1]
        expected = literal_result(int(acc[index]), m[channel], s[channel], relu)
        assert result[index] == expected


@given(st.integers(-(2**40), 2**40))
def test_wrap32_keeps_the_low_32_bits(value: int) -> None:
    wrapped = int(wrap32(np.array([value], np.int64))[0])
    assert wrapped % 2**32 == value % 2**32
    assert -(2**31) <= wrapped < 2**31


@given(st.integers(-(2**20), 2**20), st.integers(0, 15))
def test_round_shift_takes_ties_upwards(value: int, shift: int) -> None:
    expected = (Fraction(value, 2**shift) + Fraction(1, 2)).__floor__()
    assert round_shift(np.array([value], np.int32), shift).tolist() == [expected]


@given(st.floats(-1000, 1000, width=32))
def test_rounding_half_away_from_zero_is_exact(value: float) -> None:
    exact = abs(Fraction(value)) + Fraction(1, 2)
    expected = exact.__floor__() * (1 if value >= 0 else -1)
    assert round_half_away(np.array([value], np.float32)).tolist() == [expected]


def test_rounding_does_not_add_a_half_to_what_is_below_it() -> None:
    just_below = np.nextafter(np.float32(0.5), np.float32(0))
    assert round_half_away(np.array([just_below, -just_below])).tolist() == [0, 0]


def test_floats_saturate_and_nan_is_zero() -> None:
    values = np.array([np.inf, -np.inf, np.nan, 1e30, -1e30, 127.5, -128.5, 2.5, -2.5])
    assert to_int8(values).tolist() == [127, -128, 0, 127, -128, 127, -128, 3, -3]
