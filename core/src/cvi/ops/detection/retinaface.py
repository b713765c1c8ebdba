"""Faces and landmarks of RetinaFace."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cvi.ir import Array, TensorType
from cvi.ops.check import Types, require
from cvi.ops.detection.base import Detection, pixel_overlap, suppressed, table_of

FIELDS = 15
STRIDES = (32, 16, 8)
SCALES = {32: (32, 16), 16: (8, 4), 8: (2, 1)}
"""Of the two anchors of a cell, by its stride in pixels."""

CHANNELS = (4, 8, 20)
"""Scores (background and face per anchor), box deltas, landmarks."""


@dataclass(frozen=True, kw_only=True)
class RetinaFaceDetection(Detection):
    """Rows (x1, y1, x2, y2, score, five times x and y) in pixels, from the highest score
    down; unused rows are 0.

    Inputs, in any order: for the strides 32, 16 and 8 the scores [N, 4, h, w] of which the
    second half are the faces', box deltas [N, 8, h, w] and landmarks [N, 20, h, w]. Anchors
    (FACTS_TOOLCHAIN 3.7) reach from c - (w - 1) / 2 to c + (w + 1) / 2 about c = 7.5 + 0.5,
    w being 17 times their scale, the last pixel belonging to them.
    """

    nms_threshold: float
    confidence_threshold: float
    keep_top_k: int

    def infer(self, inputs: Types) -> TensorType:
        types = self.maps(inputs, 9)
        images = types[0].shape[0]
        shapes = sorted((t.shape for t in types), key=_place)
        for first in range(0, 9, 3):
            scores = shapes[first]
            wanted = [(images, channels, *scores[2:]) for channels in CHANNELS]
            fits = shapes[first : first + 3] == wanted
            require(self, fits, f"needs maps of {CHANNELS} channels per stride, not {shapes}")
        widths = [shapes[first][3] for first in range(0, 9, 3)]
        require(self, len(set(widths)) == 3, f"the maps of the strides have the widths {widths}")
        return self.rows(images, self.keep_top_k, FIELDS)

    def evaluate(self, *inputs: Array | None) -> Array:
        maps = sorted((x for x in inputs if x is not None), key=lambda x: _place(x.shape))
        images = []
        for image in range(len(maps[0])):
            mine = [x[image] for x in maps]
            parts = (self._faces(mine[3 * i : 3 * i + 3], s) for i, s in enumerate(STRIDES))
            faces = np.concatenate(list(parts))
            kept = suppressed(faces[:, :4], faces[:, 4], self.nms_threshold, pixel_overlap)
            images.append(faces[kept])
        return table_of(images, self.keep_top_k, FIELDS)

    def _faces(self, maps: list[Array], stride: int) -> Array:
        """Rows above the threshold, in the order anchor, row, column."""
        height, width = maps[0].shape[1:]
        score = maps[0][2:]
        anchor, row, column = np.nonzero(score > np.float32(self.confidence_threshold))
        deltas = maps[1].reshape(2, 4, height, width)[anchor, :, row, column]
        marks = maps[2].reshape(2, 5, 2, height, width)[anchor, :, :, row, column]
        side = (17 * np.array(SCALES[stride], np.float32) + 1)[anchor, None]
        middle = np.stack([column, row], axis=1).astype(np.float32) * stride + np.float32(8.5)
        centre = middle + deltas[:, :2] * side
        half = (np.exp(deltas[:, 2:]) * side - 1) / 2
        points = middle[:, None] + marks * side[..., None]
        best = score[anchor, row, column][:, None]
        columns = [centre - half, centre + half, best, points.reshape(-1, 10)]
        return np.concatenate(columns, axis=1).astype(np.float32)


def _place(shape: tuple[int, ...]) -> tuple[int, int]:
    return shape[3], shape[1]
