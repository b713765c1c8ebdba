"""Rounding by what it does to the results: never worse than to nearest, near the best there is,
and the same on every machine."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cvi.ir import Array
from cvi_tpu.quantized.integer_conv import convolve_int8, expand
from cvi_tpu.quantized.ops import Int8Conv2d
from cvi_tpu.quantized.patches import moments
from cvi_tpu.quantized.rounding import Roundings, least_error

SEEDS = st.integers(0, 2**32 - 1)


def _steps(random: np.random.Generator, *shape: int) -> Array:
    """Weights in whole units of 2^-12, which the search does not have to round."""
    return np.rint(np.clip(random.normal(size=shape) * 40, -128, 127) * 4096) / 4096


def _rounded(steps: Array, gram: Array) -> Array:
    """To one of the two integers beside each."""
    nearest = np.rint(steps)
    return least_error(Roundings(steps, nearest, nearest + np.sign(steps - nearest)), gram.copy())


def _gram(random: np.random.Generator, groups: int, size: int) -> Array:
    """Mean products of alike pixels that are never negative; whole numbers below 2^22."""
    seen = random.normal(size=(groups, size, size)) + 2 * random.normal(size=(groups, 1, size))
    gram = np.matmul(np.maximum(seen, 0).swapaxes(1, 2), np.maximum(seen, 0))
    return np.rint(gram / max(gram.max(), 1e-9) * (2**22 - 2)) + np.eye(size)


def _error(found: Array, steps: Array, gram: Array) -> Array:
    """e'He of every filter [g, o]."""
    e = found.astype(np.float64) - steps
    return np.einsum("goi,gij,goj->go", e, gram, e)


@settings(deadline=None)
@given(SEEDS, st.integers(1, 3), st.integers(1, 4), st.integers(1, 30))
def test_neighbours_with_no_more_error_than_the_nearest(
    seed: int, groups: int, filters: int, size: int
) -> None:
    random = np.random.default_rng(seed)
    steps, gram = _steps(random, groups, filters, size), _gram(random, groups, size)
    found = _rounded(steps, gram)
    assert (np.abs(found - steps) < 1).all()
    assert (_error(found, steps, gram) <= _error(np.rint(steps), steps, gram)).all()


@settings(deadline=None)
@given(SEEDS, st.integers(1, 12))
def test_no_single_weight_could_move_to_its_other_neighbour_with_less_error(
    seed: int, size: int
) -> None:
    random = np.random.default_rng(seed)
    steps, gram = _steps(random, 1, 1, size), _gram(random, 1, size)
    found = _rounded(steps, gram).astype(np.float64)
    reached = _error(found, steps, gram)
    for i in range(size):
        moved = found.copy()
        moved[..., i] = np.floor(steps[..., i]) + np.ceil(steps[..., i]) - found[..., i]
        assert _error(moved, steps, gram) >= reached * (1 - 1e-12)


def _best(steps: Array, gram: Array) -> float:
    """The least error of one filter among all ways to round it."""
    choices = [sorted({np.floor(s), np.ceil(s)}) for s in steps.tolist()]
    e = np.array(list(product(*choices))) - steps
    return float(np.einsum("ni,ij,nj->n", e, gram, e).min())


def test_near_the_best_of_all_ways_to_round_a_small_filter() -> None:
    random = np.random.default_rng(7)
    nearest, reached, best = 0.0, 0.0, 0.0
    for size in [4, 6, 8, 10] * 10:
        steps, gram = _steps(random, 1, 1, size), _gram(random, 1, size)
        least = _best(steps[0, 0], gram[0])
        error = _error(_rounded(steps, gram), steps, gram)[0, 0]
        assert error >= least * (1 - 1e-12)
        nearest += float(_error(np.rint(steps), steps, gram)[0, 0])
        reached, best = reached + float(error), best + least
    assert best < reached < best + 0.1 * (nearest - best)


@pytest.mark.parametrize("size", [1, 9])
def test_pixels_that_have_nothing_in_common_are_rounded_to_nearest(size: int) -> None:
    steps = _steps(np.random.default_rng(1), 2, 3, size)
    gram = np.eye(size)[None] * np.array([3.0, 1e-9]).reshape(2, 1, 1)
    assert np.array_equal(_rounded(steps, gram), np.rint(steps))


def test_pixels_that_are_always_equal_leave_no_more_than_half_a_step() -> None:
    steps = np.full((1, 1, 8), 10.25)
    found = _rounded(steps, np.ones((1, 8, 8)))
    assert found.sum() == 82
    assert sorted(found.ravel()) == [10] * 6 + [11] * 2


def test_whole_numbers_and_the_ends_of_int8_stay() -> None:
    steps = np.array([[[0.0, -128.0, 127.0, 5.0, 126.6]]])
    found = _rounded(steps, np.ones((1, 5, 5)))
    assert found.ravel().tolist() == [0, -128, 127, 5, 127]


def test_nothing_is_seen() -> None:
    steps = _steps(np.random.default_rng(2), 1, 3, 5)
    assert np.array_equal(_rounded(steps, np.zeros((1, 5, 5))), np.rint(steps))


def _exact(steps: Array, gram: Array) -> list[int]:
    """The rule of the module with fractions: the best move of one filter, again and again."""
    target = [Fraction(s) for s in steps.tolist()]
    whole = [[int(h) for h in row] for row in gram.tolist()]
    found = [round(t) for t in target]
    while True:
        costs = []
        for i, (q, t) in enumerate(zip(found, target, strict=True)):
            move = 0 if q == t else -1 if q > t else 1
            slope = sum(h * (p - s) for h, p, s in zip(whole[i], found, target, strict=True))
            costs.append((2 * move * slope + whole[i][i] if move else 1, i, move))
        cost, i, move = min(costs)
        if cost >= 0:
            return found
        found[i] += move


@settings(deadline=None)
@given(SEEDS, st.integers(1, 10))
def test_sums_are_exact(seed: int, size: int) -> None:
    random = np.random.default_rng(seed)
    steps, gram = _steps(random, 1, 1, size), _gram(random, 1, size)
    assert _rounded(steps, gram).ravel().tolist() == _exact(steps[0, 0], gram[0])


def test_many_filters_are_searched_as_each_alone() -> None:
    random = np.random.default_rng(5)
    steps, gram = _steps(random, 2, 300, 300), _gram(random, 2, 300)
    found = _rounded(steps, gram)
    for g, o in [(0, 0), (0, 299), (1, 150), (1, 299)]:
        alone = _rounded(steps[g : g + 1, o : o + 1], gram[g : g + 1])
        assert np.array_equal(found[g, o], alone[0, 0])


_CONVS = {
    "plain": ((2, 3, 7, 6), (4, 3, 3, 3), {"pads": (1, 0, 2, 1), "fill": -128}),
    "strided": ((1, 2, 9, 9), (3, 2, 2, 3), {"stride": (2, 3), "dilation": (2, 1)}),
    "depthwise": ((3, 4, 8, 5), (4, 1, 3, 3), {"group": 4, "pads": (1, 1, 1, 1), "fill": 7}),
    "grouped": ((1, 6, 4, 4), (4, 3, 1, 2), {"group": 2}),
    "transposed": ((2, 2, 5, 4), (3, 2, 3, 3), {"insert": (1, 2), "pads": (2, 2, 2, 2)}),
    "dense": ((1, 70, 1, 1), (5, 70, 1, 1), {}),
    "many": ((2, 1, 40, 1100), (1, 1, 1, 3), {}),
}


@pytest.mark.parametrize("name", _CONVS)
def test_moments_say_what_any_filter_gives(name: str) -> None:
    shape, kernel, options = _CONVS[name]
    conv = Int8Conv2d(name="y", inputs=("x",), out_scale=1.0, **options)  # type: ignore[arg-type]
    random = np.random.default_rng(3)
    inputs = [random.integers(-128, 128, shape).astype(np.int8) for _ in range(3)]
    weight = random.integers(-128, 128, kernel).astype(np.int8)
    sums, squares = _sums(conv, inputs, weight)
    seen = moments(conv, kernel[2:], inputs)
    rows = weight.reshape(conv.group, -1, weight[0].size).astype(np.float64)
    assert np.array_equal(np.einsum("gok,gk->go", rows, seen.sums).ravel(), sums)
    assert np.array_equal(np.einsum("gok,gkl,gol->go", rows, seen.products, rows).ravel(), squares)


def _sums(conv: Int8Conv2d, inputs: list[Array], weight: Array) -> tuple[Array, Array]:
    """Of the results of each channel, and of their squares."""
    results = np.concatenate([
        convolve_int8(
            expand(x, conv.insert, conv.pads, conv.fill),
            weight, conv.stride, conv.dilation, conv.group,
        )
        for x in inputs
    ])  # fmt: skip
    return results.sum(axis=(0, 2, 3)), np.square(results).sum(axis=(0, 2, 3))


def test_products_around_a_centre() -> None:
    conv = Int8Conv2d(name="y", inputs=("x",), out_scale=1.0)
    x = np.random.default_rng(4).integers(-128, 128, (5, 6, 1, 1)).astype(np.int8)
    centre = np.linspace(-130, 90, 6)[None]
    away = x.reshape(5, 6) - centre
    found = moments(conv, (1, 1), [x]).around(centre)
    assert np.allclose(found[0], away.T @ away / 5, rtol=1e-12)
