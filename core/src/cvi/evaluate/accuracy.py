"""Counting how often a classifier is right."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from cvi.errors import InputError
from cvi.evaluate.labels import Labelled
from cvi.ir import Array


@dataclass(frozen=True)
class Prediction:
    """What a classifier said of one image.

    rank: how many classes it likes better than the right one. best: its favourite classes,
    the first one first.
    """

    sample: Labelled
    rank: int
    best: tuple[int, ...]


@dataclass(frozen=True)
class Accuracy:
    """The predictions of a whole data set, in its order."""

    predictions: tuple[Prediction, ...]

    @property
    def count(self) -> int:
        return len(self.predictions)

    def hits(self, k: int) -> int:
        """How many images have the right class among the k best."""
        return hits(self.predictions, k)

    def top(self, k: int) -> float:
        """The share of these, 0 to 1."""
        return self.hits(k) / max(self.count, 1)


def hits(predictions: Iterable[Prediction], k: int) -> int:
    """How many predictions have the right class among the k best."""
    return sum(one.rank < k for one in predictions)


def predict(sample: Labelled, scores: Array, best: int = 5) -> Prediction:
    """The prediction of scores of any shape, one per class.

    Among equal scores the class of the smaller number is liked better, as by an argmax.
    NaN is liked least. InputError when the network has no such class.
    """
    flat = np.nan_to_num(scores.reshape(-1).astype(np.float64), nan=-np.inf)
    if not 0 <= sample.label < flat.size:
        raise InputError(
            f"the class is {sample.label}, but the network has {flat.size} classes",
            where=str(sample.file),
            fix="classes count from 0; --label-offset shifts them, --output NAME chooses a tensor",
        )
    order = np.argsort(-flat, kind="stable")
    rank = int(np.flatnonzero(order == sample.label)[0])
    return Prediction(sample, rank, tuple(order[:best].tolist()))


def table(accuracy: Accuracy, tops: Sequence[int]) -> list[list[str]]:
    """Rows of a result table: file, class, best classes, and whether each top-k holds."""
    head = ["file", "class", "rank", "best", *(f"top{k}" for k in tops)]
    rows = [
        [
            str(one.sample.file),
            str(one.sample.label),
            str(one.rank + 1),
            " ".join(map(str, one.best)),
            *(str(int(one.rank < k)) for k in tops),
        ]
        for one in accuracy.predictions
    ]
    return [head, *rows]
