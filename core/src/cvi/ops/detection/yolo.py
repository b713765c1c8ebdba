"""Detections of YOLO v3 and v4."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cvi.ir import Array, TensorType
from cvi.ops.check import Types, positive, require
from cvi.ops.detection.base import (
    Detection,
    corner_overlap,
    sigmoid,
    suppressed_by_class,
    table_of,
)

FIELDS = 6
BOXES = 3
"""Per cell."""

TINY = (10, 14, 23, 27, 37, 58, 81, 82, 135, 169, 344, 319)
V3 = (10, 13, 16, 30, 33, 23, 30, 61, 62, 45, 59, 119, 116, 90, 156, 198, 373, 326)
V4 = (12, 16, 19, 36, 40, 28, 36, 75, 76, 55, 72, 146, 142, 110, 192, 243, 459, 401)


@dataclass(frozen=True, kw_only=True)
class YoloDetection(Detection):
    """Rows (x, y, w, h, class, score), from the highest score down; centre and sizes are
    relative to the image, unused rows 0.

    Inputs: three maps (two if tiny) [N, 3 * (5 + classes), gh, gw]. net_size: (height, width)
    in pixels. anchors: (width, height) in pixels of three boxes per map, in the order of the
    inputs; none: those of YOLO v3, v4 or tiny, smaller ones for wider maps.

    A box needs sigmoid(objectness) and its product with the softmax probability of the best
    class to be at least obj_threshold (FACTS_TOOLCHAIN 3.7).
    """

    net_size: tuple[int, int]
    classes: int = 80
    anchors: tuple[float, ...] = ()
    nms_threshold: float
    obj_threshold: float
    keep_top_k: int
    tiny: bool = False
    yolo_v4: bool = False
    spp_net: bool = False

    def infer(self, inputs: Types) -> TensorType:
        maps = self.maps(inputs, 2 if self.tiny else 3)
        positive(self, "classes and net size", (self.classes, *self.net_size))
        count = len(maps) * BOXES * 2
        given = len(self.anchors)
        require(self, given in (0, count), f"needs {count} numbers as anchors, not {given}")
        channels = BOXES * (5 + self.classes)
        for t in maps:
            fits = t.shape[:2] == (maps[0].shape[0], channels)
            require(self, fits, f"needs {channels} channels for {self.classes} classes, not {t}")
        return self.rows(maps[0].shape[0], self.keep_top_k, FIELDS)

    def anchors_of(self, widths: list[int]) -> Array:
        """Anchors [maps, 3, 2] of maps of these widths."""
        if self.anchors:
            return np.array(self.anchors, np.float32).reshape(-1, BOXES, 2)
        table = TINY if self.tiny else V4 if self.yolo_v4 else V3
        rank = np.argsort(np.argsort([-w for w in widths], kind="stable"))
        ordered: Array = np.array(table, np.float32).reshape(-1, BOXES, 2)[rank]
        return ordered

    def evaluate(self, *inputs: Array | None) -> Array:
        maps = [x for x in inputs if x is not None]
        tables = self.anchors_of([x.shape[3] for x in maps])
        images = []
        for image in range(len(maps[0])):
            pairs = zip(maps, tables, strict=True)
            rows = np.concatenate([self._boxes(x[image], anchors) for x, anchors in pairs])
            corners = np.concatenate(
                [rows[:, :2] - rows[:, 2:4] / 2, rows[:, :2] + rows[:, 2:4] / 2], axis=1
            )
            kept = suppressed_by_class(
                corners, rows[:, 5], rows[:, 4], self.nms_threshold, corner_overlap
            )
            images.append(rows[kept])
        return table_of(images, self.keep_top_k, FIELDS)

    def _boxes(self, x: Array, anchors: Array) -> Array:
        """Rows above the threshold of one map, in the order row, column, anchor."""
        height, width = x.shape[1:]
        cells = np.moveaxis(x.reshape(BOXES, 5 + self.classes, height, width), (0, 1), (2, 3))
        logits = cells[..., 5:] - cells[..., 5:].max(axis=-1, keepdims=True)
        chances = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
        object_there = sigmoid(cells[..., 4])
        score = object_there * chances.max(axis=-1)
        least = np.float32(self.obj_threshold)
        row, column, anchor = np.nonzero((object_there >= least) & (score >= least))
        box = cells[row, column, anchor]
        place = sigmoid(box[:, :2]) + np.stack([column, row], axis=1)
        size = np.exp(box[:, 2:4]) * anchors[anchor] / np.array(self.net_size[::-1])
        label = chances[row, column, anchor].argmax(axis=-1)
        centre = place / np.array([width, height])
        tail = [label[:, None], score[row, column, anchor][:, None]]
        return np.concatenate([centre, size, *tail], axis=1).astype(np.float32)
