"""Number rules of the BF16 unit, against exact arithmetic on fractions."""

from __future__ import annotations

from fractions import Fraction
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvi_tpu.sim import bf16
from cvi_tpu.sim.bf16_sum import Sizes, Sum

floats = st.floats(width=32, allow_nan=False, allow_infinity=False)


def _toward_zero(value: Fraction) -> float:
    """The fp32 number next to `value` on the side of zero; denormals are zero."""
    near = np.float32(float(value))
    if abs(Fraction(float(near))) > abs(value):
        near = np.nextafter(near, np.float32(0))
    return 0.0 if abs(near) < 2.0**-126 else float(near)


@given(floats, floats)
def test_sums_are_rounded_toward_zero(a: float, b: float) -> None:
    x, y = (0.0 if abs(v) < 2.0**-126 else v for v in (a, b))
    exact = Fraction(x) + Fraction(y)
    if abs(exact) >= Fraction(2) ** 127:
        return
    got = bf16.add(np.float32([x]), np.float32([y]))
    assert float(got[0]) == _toward_zero(exact)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_tiny_addend_of_other_sign_moves_one_step(sign: int) -> None:
    got = bf16.add(np.float32([sign]), np.float32([-sign * 2.0**-100]))
    assert got[0] == sign * (1 - 2.0**-24)
    same = bf16.add(np.float32([sign]), np.float32([sign * 2.0**-100]))
    assert same[0] == sign


def test_encode_special_values() -> None:
    values = np.array([np.inf, -np.inf, np.nan, 3.4e38, -0.0, 1e-40, -1e-40], np.float32)
    assert bf16.encode(values).tolist() == [0x7F7F, 0x7F7F, 0x7F7F, 0x7F7F, 0, 0, 0]


def test_encode_rounds_to_nearest_even() -> None:
    bits = np.array([0x3F808000, 0x3F818000, 0x3F808001, 0x3F807FFF], np.uint32)
    assert bf16.encode(bits.view(np.float32)).tolist() == [0x3F80, 0x3F82, 0x3F81, 0x3F80]


@given(st.integers(0, 0xFFFF))
def test_decode_and_encode_are_inverse_for_numbers(pattern: int) -> None:
    exponent = pattern >> 7 & 0xFF
    value = bf16.decode(np.uint16([pattern]))
    if exponent == 0:
        assert value.view(np.uint32)[0] == 0
    elif exponent < 255:
        assert int(bf16.encode(value)[0]) == pattern


def test_overflow_sticks() -> None:
    largest = bf16.decode(np.uint16([0x7F7F]))
    over = bf16.add(bf16.add(largest, largest), -largest)
    assert bf16.encode(over).tolist() == [0x7F7F]
    high, low = bf16.split(over)
    assert (int(high[0]), int(low[0])) == (0x7F7F, 0xFFFF)


@pytest.mark.parametrize(
    ("value", "signed", "toward_zero", "want"),
    [
        (2.5, True, False, 2),
        (3.5, True, False, 4),
        (-2.5, True, True, -2),
        (200.0, True, False, 127),
        (-200.0, True, False, -128),
        (200.0, False, False, 200),
        (-3.0, False, False, 0),
    ],
)
def test_to_int8(value: float, signed: bool, toward_zero: bool, want: int) -> None:
    bits = bf16.encode(np.float32([value]))
    got = bf16.to_int8(bits, signed, toward_zero)
    assert int(got.view(np.int8 if signed else np.uint8)[0]) == want


@pytest.mark.parametrize("spread", [0, 10, 40, 70])
def test_long_sums_are_those_of_single_additions(spread: int) -> None:
    rng = np.random.default_rng(spread)
    exponents = partial(rng.integers, -spread, spread + 1)
    x, y = (
        bf16.decode(bf16.encode(np.float32(rng.standard_normal(s) * 2.0 ** exponents(s))))
        for s in ((60, 1, 9), (60, 7, 1))
    )
    start = np.zeros((7, 9), np.float32)
    sizes = Sizes.of(x, (1, 2)).times(Sizes.of(y, (1, 2)))
    total, want = Sum(start), start
    total.add(zip(np.float64(x), np.float64(y), strict=True), sizes)
    for a, b in zip(x, y, strict=True):
        want = bf16.add(want, bf16.multiply(a, b))
    assert np.array_equal(total.total, want, equal_nan=True)
    assert (sizes.run(0, np.inf, 0.0) == len(x)) == (spread <= 4)
