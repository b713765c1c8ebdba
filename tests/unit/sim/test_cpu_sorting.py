"""The order in which equal scores are left."""

from __future__ import annotations

import numpy as np
import pytest

from cvi_tpu.runtime.functions.sorting import largest_descending, sorted_descending


@pytest.mark.parametrize("count", [1, 2, 16, 17, 100, 3000])
@pytest.mark.parametrize("levels", [1, 3, 1 << 30])
def test_it_sorts(count: int, levels: int) -> None:
    scores = np.random.default_rng(count).integers(0, levels, count).astype(np.float32)
    order = sorted_descending(scores)
    assert sorted(order.tolist()) == list(range(count))
    np.testing.assert_array_equal(scores[order], np.sort(scores)[::-1])
    for best in (0, 1, count // 2, count):
        order = largest_descending(scores, best)
        assert len(set(order.tolist())) == best
        np.testing.assert_array_equal(scores[order], np.sort(scores)[::-1][:best])


def test_up_to_16_equal_scores_keep_their_order() -> None:
    scores = np.array([1, 2] * 8, np.float32)
    assert sorted_descending(scores).tolist() == [*range(1, 16, 2), *range(0, 16, 2)]


def test_more_equal_scores_do_not() -> None:
    """What libstdc++ leaves of 20 equal elements: the median of three goes to the front,
    and the two ends of the rest change places."""
    order = sorted_descending(np.zeros(20, np.float32)).tolist()
    assert order != list(range(20))
    assert order[0] == 10


def test_long_runs_end_in_heap_sort() -> None:
    """An adversary of the median of three: quadratic without the limit of the depth."""
    half = 1 << 9
    values = [0.0] * (2 * half)
    for i in range(half):  # McIlroy's pattern for a median of three
        values[2 * i if i % 2 == 0 else 2 * i - 1] = float(i)
        values[half + i] = float(i)
    scores = np.array(values, np.float32)
    np.testing.assert_array_equal(scores[sorted_descending(scores)], np.sort(scores)[::-1])
