"""Ratios as integers, and filters as int8."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvi.errors import ModelError
from cvi_tpu.quantized.scales import add_limit, add_rates, gain, rate, same_scale, to_steps
from cvi_tpu.quantized.weights import quantise_tensor, real_filter

RATIO = st.floats(0, 1, exclude_max=True)


@given(RATIO)
def test_a_rate_is_within_half_a_unit_of_its_31_bits(ratio: float) -> None:
    multiplier, shift = rate(ratio)
    assert 0 <= multiplier < 2**31
    assert 0 <= shift <= 31
    realised = math.ldexp(multiplier, -31 - shift)
    # the topmost ratios cannot round up to 1
    assert abs(realised - ratio) <= max(ratio * 2.0**-30, 2.0**-63)


@pytest.mark.parametrize(
    ("ratio", "expected"),
    [
        (0.5, (2**30, 0)),
        (0.25, (2**30, 1)),
        (0.0, (0, 0)),
        (1 - 2.0**-40, (2**31 - 1, 0)),
        (0.5 - 2.0**-40, (2**30, 0)),
        (2.0**-40, (2**22, 31)),
        (2.0**-70, (0, 31)),
    ],
)
def test_rates_at_the_corners(ratio: float, expected: tuple[int, int]) -> None:
    assert rate(ratio) == expected


@pytest.mark.parametrize("ratio", [1.0, -0.1, math.nan, math.inf])
def test_ratios_out_of_reach_are_a_bug_of_the_caller(ratio: float) -> None:
    with pytest.raises(ValueError, match="not in"):
        rate(ratio)


@given(st.floats(0, 126))
def test_a_gain_realises_ratios_beyond_one(ratio: float) -> None:
    weight, multiplier, shift = gain(ratio)
    assert 1 <= weight <= 127
    assert weight == (64 if ratio < 64 else 127)
    realised = weight * math.ldexp(multiplier, -31 - shift)
    assert abs(realised - ratio) <= max(ratio * 2.0**-29, 2.0**-56)


def test_a_gain_beyond_127_saturates_every_integer_but_zero() -> None:
    weight, multiplier, shift = gain(1e6)
    assert (weight, multiplier, shift) == (127, 2**31 - 1, 0)


@given(st.lists(st.floats(-126, 126).filter(lambda r: abs(r) > 1e-2), min_size=1, max_size=12))
def test_multipliers_of_a_sum(ratios: list[float]) -> None:
    limit = add_limit(ratios)
    scaled = [r / limit for r in ratios]
    multipliers, shift, bias = add_rates(scaled)
    assert 0 <= shift <= 15
    assert sum(map(abs, multipliers[:-1])) <= 255 and bias == 0
    for r, m in zip(scaled, multipliers, strict=True):
        assert -127 <= m <= 127
        assert abs(m - math.ldexp(r, shift)) <= 0.5
    # no finer shift would have fitted
    finer = [math.floor(abs(math.ldexp(r, shift + 1)) + 0.5) for r in scaled]
    assert shift == 15 or max(finer) > 127 or sum(finer[:-1]) > 255


RATIOS = st.floats(-8, 8).filter(lambda r: abs(r) > 1e-2)
ZEROS = st.sampled_from([0, -128])


@given(st.lists(st.tuples(RATIOS, ZEROS), min_size=2, max_size=4), ZEROS)
def test_zeros_of_a_sum(operands: list[tuple[float, int]], y_zero: int) -> None:
    ratios, zeros = zip(*operands, strict=True)
    multipliers, shift, bias = add_rates(ratios, zeros, y_zero)
    # Operands that are all 0 give a result that is 0, exactly.
    total = sum(m * z for m, z in zip(multipliers, zeros, strict=True)) + bias
    assert total == y_zero * 2**shift
    for r, m in zip(ratios, multipliers, strict=True):
        assert abs(m - math.ldexp(r, shift)) <= 0.5
    # Whatever the operands are, partial sums fit int16.
    assert 128 * sum(map(abs, multipliers[:-1])) + abs(bias) < 2**15


def test_steps_round_half_away_and_saturate() -> None:
    assert [to_steps(v, 2.0) for v in (1, -1, 2.9, -2.9, 1e9, -1e9)] == [1, -1, 1, -1, 127, -128]


def test_scales_may_differ_by_rounding_only() -> None:
    assert same_scale(0.1, 1 / (1 / 0.1))
    assert not same_scale(0.1, 0.1001)


@given(st.integers(0, 2**32 - 1), st.floats(1e-3, 10), st.floats(1e-3, 10), st.floats(0, 1e4))
def test_filters(seed: int, x_scale: float, y_scale: float, bias_size: float) -> None:
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=(5, 3, 3, 3)).astype(np.float32) * rng.choice([1e-6, 1, 50], 5)[
        :, None, None, None
    ].astype(np.float32)
    bias = (rng.normal(size=5) * bias_size).astype(np.float32)
    got = real_filter(weight, bias, x_scale, y_scale, where="layer").nearest()
    assert got.bias is not None
    realised = got.multiplier.astype(np.float64) * 2.0**-31 * 2.0 ** -got.shift.astype(np.float64)
    unit = realised * got.gains * y_scale  # real value of one step of the sum
    for c in range(5):
        # the accumulator cannot wrap
        sums = 128 * int(np.abs(got.weight[c].astype(np.int64)).sum())
        assert sums + abs(int(got.bias[c])) < 2**31
        # every weight and the bias are within half a step of what they stand for
        step = unit[c] / x_scale
        error = np.abs(got.weight[c] * step - weight[c]).max()
        assert error <= step * 0.5 + np.abs(weight[c]).max() * 1e-6
        assert abs(got.bias[c] * unit[c] - bias[c]) <= unit[c] * 0.5 + abs(bias[c]) * 1e-6
    assert (got.gains >= 1).all()


def test_the_largest_weight_uses_all_steps_of_its_channel() -> None:
    weight = np.array([[0.1, -0.5], [30, 10]], np.float32)
    got = real_filter(weight, None, 0.01, 1.0, where="layer").nearest()
    assert got.bias is None
    assert got.exact
    assert got.weight.tolist() == [[25, -127], [127, 42]]


def test_a_channel_of_zeros_keeps_its_bias() -> None:
    weight, bias = np.zeros((2, 9), np.float32), np.array([3.0, 0.0], np.float32)
    got = real_filter(weight, bias, 0.01, 0.05, where="layer").nearest()
    assert got.bias is not None
    assert not got.weight.any()
    result = int(got.bias[0]) * int(got.multiplier[0]) / 2**31 / 2 ** int(got.shift[0])
    assert abs(result - 60) < 1e-3
    assert got.bias[1] == got.multiplier[1] == 0


def test_a_ratio_of_one_or_more_is_left_to_a_gain() -> None:
    got = real_filter(
        np.array([[1.27], [127.0]], np.float32), None, 1.0, 0.1, where="layer"
    ).nearest()
    assert not got.exact
    assert got.gains[0] == 1
    assert got.gains[1] == pytest.approx(10)


def test_thresholds_of_the_table_saturate_weights() -> None:
    weight = np.array([[1.0, 0.5]], np.float32)
    got = real_filter(weight, None, 1.0, 1e3, where="layer", thresholds=[0.5]).nearest()
    assert got.weight.tolist() == [[127, 127]]
    ignored = real_filter(weight, None, 1.0, 1e3, where="layer", thresholds=[0.5, 0.5]).nearest()
    assert ignored.weight.tolist() == [[127, 64]]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_an_error_of_the_model(value: float) -> None:
    weight = np.array([[value, 1]], np.float32)
    with pytest.raises(ModelError, match="not a finite number") as error:
        real_filter(weight, None, 1.0, 1.0, where="layer").nearest()
    assert error.value.where == "layer"


def test_tensors_have_a_scale_of_their_own() -> None:
    steps, scale = quantise_tensor(np.array([2.54, -1.0], np.float32))
    assert steps.tolist() == [127, -50]
    assert scale == pytest.approx(0.02)
    assert quantise_tensor(np.zeros(3, np.float32))[1] == 1.0
