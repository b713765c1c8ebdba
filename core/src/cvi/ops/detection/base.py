"""The base class of ops that give lists of boxes, and what they share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cvi.ir import Array, Op, TensorType
from cvi.ops.check import Types, floats, operands, require

Overlap = Callable[[Array, Array], Array]
"""Intersection over union of one box [fields] with others [n, fields]."""


@dataclass(frozen=True, kw_only=True)
class Detection(Op):
    """Base of the ops whose result is a list of boxes, one row each."""

    incomparable: ClassVar[str] = (
        "a list of boxes, whose rows come and go with the least difference of scores"
    )

    def in_range(self, label: str, value: float, low: float, high: float) -> None:
        """Raise the layer's error unless an attribute lies in [low, high]."""
        require(self, low <= value <= high, f"{label} must be in {low}..{high} but is {value}")

    def maps(self, inputs: Types, count: int) -> list[TensorType]:
        """So many fp32 operands of four dimensions."""
        types = operands(self, inputs, count)
        floats(self, types)
        for t in types:
            require(self, len(t.shape) == 4, f"needs maps of 4 dimensions but reads {t}")
        return types

    def rows(self, images: int, count: int, fields: int) -> TensorType:
        """The type of `count` rows per image."""
        require(self, count > 0, f"the number of rows must be positive but is {count}")
        return TensorType((images, 1, count, fields))


def suppressed(boxes: Array, scores: Array, threshold: float, overlap: Overlap) -> Array:
    """Positions of the boxes that survive, from the highest score down: each one takes away
    the weaker ones that overlap with it by more than the threshold."""
    left = np.argsort(-scores, kind="stable")
    kept = []
    while left.size:
        best, left = left[0], left[1:]
        kept.append(best)
        left = left[overlap(boxes[best], boxes[left]) <= threshold]
    return np.array(kept, np.int64)


def suppressed_by_class(
    boxes: Array, scores: Array, labels: Array, threshold: float, overlap: Overlap
) -> Array:
    """As `suppressed` among the boxes of each class; the survivors of all, best first."""
    kept = [np.zeros(0, np.int64)]
    for label in np.unique(labels):
        mine = np.flatnonzero(labels == label)
        kept.append(mine[suppressed(boxes[mine], scores[mine], threshold, overlap)])
    survivors = np.sort(np.concatenate(kept))
    ordered: Array = survivors[np.argsort(-scores[survivors], kind="stable")]
    return ordered


def corner_overlap(one: Array, others: Array, *, margin: float = 0.0) -> Array:
    """Intersection over union of boxes (x1, y1, x2, y2). margin: 1 when the last pixel
    belongs to the box."""
    width = np.minimum(one[2], others[:, 2]) - np.maximum(one[0], others[:, 0]) + margin
    height = np.minimum(one[3], others[:, 3]) - np.maximum(one[1], others[:, 1]) + margin
    both = np.maximum(width, 0) * np.maximum(height, 0)
    union = corner_areas(one, margin) + corner_areas(others, margin) - both
    ratio: Array = np.divide(both, union, out=np.zeros_like(both), where=union > 0)
    return ratio


def corner_areas(boxes: Array, margin: float) -> Array:
    """Areas of boxes (x1, y1, x2, y2); 0 of those inside out."""
    sides = np.maximum(boxes[..., 2:4] - boxes[..., :2] + margin, 0)
    areas: Array = sides[..., 0] * sides[..., 1]
    return areas


def pixel_overlap(one: Array, others: Array) -> Array:
    """Intersection over union of corner boxes in pixels, the last one belonging to them."""
    return corner_overlap(one, others, margin=1.0)


def moved(boxes: Array, deltas: Array) -> Array:
    """Corner boxes [..., 4] in pixels, changed by (dx, dy, dw, dh) as in Faster R-CNN."""
    sides = boxes[..., 2:] - boxes[..., :2] + 1
    centre = boxes[..., :2] + sides / 2 + deltas[..., :2] * sides
    half = np.exp(deltas[..., 2:]) * sides / 2
    return np.concatenate([centre - half, centre + half], axis=-1)


def sigmoid(x: Array) -> Array:
    with np.errstate(over="ignore"):  # exp(-x) of a very negative x: the result is 0
        value: Array = 1 / (1 + np.exp(-x))
    return value


def table_of(images: list[Array], count: int, fields: int) -> Array:
    """The result [images, 1, count, fields] fp32: the first `count` rows of every image, the
    rest 0."""
    out = np.zeros((len(images), 1, count, fields), np.float32)
    for place, rows in zip(out[:, 0], images, strict=True):
        place[: len(rows[:count])] = rows[:count]
    return out
