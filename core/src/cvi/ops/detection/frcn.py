"""Detections of Faster R-CNN out of its second stage."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cvi.ir import Array, TensorType
from cvi.ops.check import Types, floats, operands, require
from cvi.ops.detection.base import (
    Detection,
    moved,
    pixel_overlap,
    suppressed_by_class,
    table_of,
)

FIELDS = 6


@dataclass(frozen=True, kw_only=True)
class FrcnDetection(Detection):
    """Rows (x1, y1, x2, y2, class, score) in pixels, from the highest score down; unused
    rows are 0. Class 0 is the background; boxes are not clipped.

    Inputs: box deltas of every class [R, class_num * 4], scores of every class
    [R, class_num], regions (image, x1, y1, x2, y2) as [1, 1, R, 5], all with any further
    dimensions of 1. One image.
    """

    class_num: int
    obj_threshold: float
    nms_threshold: float
    keep_top_k: int

    def infer(self, inputs: Types) -> TensorType:
        deltas, scores, regions = operands(self, inputs, 3)
        floats(self, inputs)
        require(self, self.class_num > 1, f"class_num is {self.class_num}: only a background")
        count, rest = divmod(regions.elements, 5)
        require(self, not rest and regions.shape[-1] == 5, f"regions cannot be {regions}")
        require(self, regions.shape[0] in (1, count), f"takes the regions of one image: {regions}")
        for what, t, need in (("deltas", deltas, 4), ("scores", scores, 1)):
            wanted = count * self.class_num * need
            require(self, t.elements == wanted, f"{what} are {t}, needed are {wanted} elements")
        return self.rows(1, self.keep_top_k, FIELDS)

    def evaluate(self, *inputs: Array | None) -> Array:
        deltas, scores, regions = inputs
        assert deltas is not None and scores is not None and regions is not None
        corners = regions.reshape(-1, 1, 5)[..., 1:]
        boxes = moved(corners, deltas.reshape(-1, self.class_num, 4))
        table = scores.reshape(-1, self.class_num)
        region, label = np.nonzero(table[:, 1:] > np.float32(self.obj_threshold))
        label = label + 1
        rows = np.concatenate(
            [boxes[region, label], label[:, None], table[region, label][:, None]], axis=1
        ).astype(np.float32)
        kept = suppressed_by_class(
            rows[:, :4], rows[:, 5], rows[:, 4], self.nms_threshold, pixel_overlap
        )
        return table_of([rows[kept]], self.keep_top_k, FIELDS)
