"""Ranks and hits against a literal count."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cvi.errors import InputError
from cvi.evaluate.accuracy import Accuracy, predict, table
from cvi.evaluate.labels import Labelled


def _sample(label: int) -> Labelled:
    return Labelled(Path("x.npy"), label)


def test_rank_and_best_are_those_of_a_sort() -> None:
    random = np.random.default_rng(0)
    for _ in range(50):
        scores = random.integers(0, 6, 12).astype(np.float32)
        label = int(random.integers(12))
        order = sorted(range(12), key=lambda i: (-scores[i], i))
        got = predict(_sample(label), scores.reshape(1, 12, 1, 1))
        assert got.best == tuple(order[:5])
        assert got.rank == order.index(label)
        assert (got.rank < 1) == (int(scores.argmax()) == label)


def test_nan_is_liked_least() -> None:
    assert predict(_sample(0), np.array([np.nan, -1.0, 1.0])).rank == 2


def test_a_class_that_the_network_does_not_have() -> None:
    with pytest.raises(InputError, match="1000, but the network has 1000 classes"):
        predict(_sample(1000), np.zeros(1000))


def test_hits_and_shares() -> None:
    scores = np.array([0.1, 0.5, 0.4])
    accuracy = Accuracy(tuple(predict(_sample(label), scores) for label in (1, 2, 2, 0)))
    assert [accuracy.hits(k) for k in (1, 2, 3)] == [1, 3, 4]
    assert accuracy.top(2) == 0.75
    assert table(accuracy, (1, 2))[2] == ["x.npy", "2", "2", "1 2 0", "0", "1"]
