"""Non-maximum suppression in scan order, and rows of detections."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np

from cvi.errors import ModelError, RunnerError
from cvi.ir.types import Array, DType
from cvi_tpu.runtime.functions.call import Call

Ratios = Callable[[Array, Array], Array]
"""Overlap (intersection over union) of one box [fields] with others [fields, n]."""


def suppress_in_order(
    boxes: Array, scores: Array, ratios: Ratios, threshold: float, *, most: int | None = None
) -> Array:
    """The positions of the boxes [fields, n] that survive, in their order.

    Boxes are not sorted by score: each in turn is compared with the later ones, and of two
    that overlap by more than the threshold the one with the lower score goes, of equals the
    later. A box that goes is not compared further. most: as many as are wanted.
    """
    alive, current = np.arange(len(scores)), 0
    while current < len(alive) - 1 and current != most:
        above = ratios(boxes[:, current], boxes[:, current + 1 :]) > np.float32(threshold)
        hits = np.flatnonzero(above) + current + 1
        stronger = hits[scores[current] < scores[hits]]
        gone = np.append(hits[hits < stronger[0]], current) if stronger.size else hits
        if gone.size:
            rest = np.ones(len(alive), bool)
            rest[gone] = False
            alive, boxes, scores = alive[rest], boxes[:, rest], scores[rest]
        if not stronger.size:
            current += 1
    return alive[:most]


def overlap_with_margin(one: Array, others: Array) -> Array:
    """Overlap of corner boxes (x1, y1, x2, y2, area, …): areas count the last pixel (+ 1),
    the intersection does not (vendor's fault); -1 where boxes do not meet."""
    width = smaller(one[2], others[2]) - larger(one[0], others[0])
    height = smaller(one[3], others[3]) - larger(one[1], others[1])
    meet = (width > 0) & (height > 0)
    both = width * height
    ratios: Array = np.where(meet, both / (others[4] + one[4] - both), np.float32(-1))
    return ratios


def larger(a: Array, b: Array) -> Array:
    """The C++ library's max: the first one when either is NaN."""
    chosen: Array = np.where(a < b, b, a)
    return chosen


def smaller(a: Array, b: Array) -> Array:
    """The C++ library's min: the first one when either is NaN."""
    chosen: Array = np.where(b < a, b, a)
    return chosen


def with_areas(boxes: Array) -> Array:
    """Corner boxes [n, 4] as fields (x1, y1, x2, y2, area), the last pixel counted."""
    x1, y1, x2, y2 = boxes.T
    return np.stack([x1, y1, x2, y2, corner_area(boxes)])


def corner_area(boxes: Array) -> Array:
    """Areas of boxes (x1, y1, x2, y2), the last pixel counted."""
    one = np.float32(1)
    area: Array = (boxes[..., 2] - boxes[..., 0] + one) * (boxes[..., 3] - boxes[..., 1] + one)
    return area


def refuse_excess(ratios: Array) -> None:
    """The vendor's functions assert that no overlap is above 1, and NaN is not either."""
    if not (ratios <= 1).all():
        raise RunnerError("two boxes overlap by more than 1 or by NaN: the vendor's runtime aborts")


class Rows:
    """The zeroed output of a detector, into which each image writes its rows of floats."""

    def __init__(self, call: Call) -> None:
        self._tensor = call.output(DType.FP32)
        shape = self._tensor.shape[:4]
        self.images = shape[0]
        self._stride = prod(shape[1:])
        self.values = np.zeros(prod(shape), np.float32)

    def write(self, image: int, rows: Array) -> None:
        """An image may write into the next one's rows, as in the vendor's runtime; beyond
        the end it is refused."""
        self.write_at(image * self._stride, rows)

    def write_at(self, start: int, rows: Array) -> None:
        end = start + rows.size
        if end > self.values.size:
            raise ModelError(
                f"the CPU function writes {end} values, the tensor has {self.values.size}",
                where=self._tensor.name,
            )
        self.values[start:end] = rows.reshape(-1)
