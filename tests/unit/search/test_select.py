"""Selection under budgets, with measures whose right answer is known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from cvi.errors import InputError
from cvi.search.select import Target, best_of, until, within_slowdown

_LOSSES = {"a": 0.1, "b": 3.0, "c": 0.5, "d": 3.0, "e": 0.0}
_ORDER = ["b", "d", "c", "a", "e"]


@pytest.mark.parametrize("needed", range(6))
def test_the_fewest_layers_that_reach_the_target(needed: int) -> None:
    asked: list[int] = []

    def measure(layers: Sequence[str]) -> float:
        assert list(layers) == _ORDER[: len(layers)]
        asked.append(len(layers))
        return len(layers) / 10

    found = until(_ORDER, _LOSSES, measure, needed / 10)
    assert found.layers == tuple(_ORDER[:needed])
    assert found.reached == needed / 10
    assert len(asked) == len(set(asked)) <= 5


def test_long_orders_are_bisected() -> None:
    order = [str(i) for i in range(1000)]
    losses = {name: float(1000 - i) for i, name in enumerate(order)}
    asked: list[int] = []

    def measure(layers: Sequence[str]) -> float:
        asked.append(len(layers))
        return float(len(layers))

    for needed in np.random.default_rng(0).integers(1, 1000, 20).tolist():
        asked.clear()
        assert len(until(order, losses, measure, needed).layers) == needed
        assert len(asked) <= 13


def test_a_target_out_of_reach_gives_the_best_that_was_measured() -> None:
    found = until(_ORDER, _LOSSES, lambda layers: 0.5 if layers else 0.7, 0.9)
    assert (found.layers, found.reached) == ((), 0.7)
    found = until(_ORDER, _LOSSES, lambda layers: len(layers) / 10, 0.9)
    assert (found.layers, found.reached) == (tuple(_ORDER), 0.5)


@pytest.mark.parametrize(("most", "count"), [(1.0, 0), (1.09, 0), (1.1, 1), (1.35, 3), (9.0, 5)])
def test_layers_within_a_slowdown(most: float, count: int) -> None:
    def cost(layers: Sequence[str]) -> float:
        return 100.0 + 10 * len(layers)

    assert within_slowdown(_ORDER, cost, most) == count


@pytest.mark.parametrize(
    ("gains", "count"), [((0.1, 0.2, 0.3), 5), ((0.1, 0.4, 0.3), 2), ((0.4, 0.4, 0.3), 0)]
)
def test_fewer_layers_where_these_are_better(gains: tuple[float, ...], count: int) -> None:
    by_count = dict(zip((0, 2, 5), gains, strict=True))
    found = best_of(_ORDER, lambda layers: by_count[len(layers)])
    assert (found.layers, found.reached) == (tuple(_ORDER[:count]), by_count[count])


def test_targets() -> None:
    assert Target.parse("cos=0.99") == Target("cos", 0.99)
    assert (Target.parse("cos=0.99").least, Target.parse("drop=0.5").least) == (0.99, -0.5)


@pytest.mark.parametrize("text", ["", "cos", "cos=", "cos=2", "drop=-1", "top=1", "cos=nan"])
def test_targets_that_are_none(text: str) -> None:
    with pytest.raises(InputError, match="not a target"):
        Target.parse(text)
