"""Region proposals of Faster R-CNN."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cvi.ir import Array, TensorType
from cvi.ops.check import Types, positive, require
from cvi.ops.detection.base import Detection, moved, pixel_overlap, suppressed, table_of

FIELDS = 5
SCALES = (8, 16, 32)
RATIOS = (0.5, 1.0, 2.0)
ANCHORS = len(SCALES) * len(RATIOS)


@dataclass(frozen=True, kw_only=True)
class Proposal(Detection):
    """Rows (image, x1, y1, x2, y2) in pixels, from the highest score down, clipped to the
    image; unused rows are 0.

    Inputs: scores [N, 18, h, w], the second half being those of objects, and box deltas
    [N, 36, h, w]. Nine anchors per cell, of the ratios 0.5, 1, 2 and the scales 8, 16, 32.
    feat_stride: pixels from cell to cell. net_size: (height, width) of the image. Regions
    with a score of at least obj_threshold take part.
    """

    feat_stride: int = 16
    anchor_base_size: int = 16
    net_size: tuple[int, int]
    obj_threshold: float
    nms_threshold: float
    post_nms_top_n: int

    def infer(self, inputs: Types) -> TensorType:
        scores, deltas = self.maps(inputs, 2)
        sizes = (self.feat_stride, self.anchor_base_size, *self.net_size)
        positive(self, "stride, base size and net size", sizes)
        images, _, *cells = scores.shape
        for t, channels in ((scores, 2 * ANCHORS), (deltas, 4 * ANCHORS)):
            fits = t.shape == (images, channels, *cells)
            require(self, fits, f"needs {channels} channels for 9 anchors, not {t}")
        return self.rows(images, self.post_nms_top_n, FIELDS)

    def evaluate(self, *inputs: Array | None) -> Array:
        scores, deltas = inputs
        assert scores is not None and deltas is not None
        height, width = scores.shape[2:]
        table = anchors(self.anchor_base_size)
        images = []
        for image, (score, shift) in enumerate(zip(scores, deltas, strict=True)):
            best = score[ANCHORS:].transpose(1, 2, 0)
            row, column, anchor = np.nonzero(best >= np.float32(self.obj_threshold))
            moves = shift.reshape(ANCHORS, 4, height, width)[anchor, :, row, column]
            start = np.stack([column, row] * 2, axis=1) * self.feat_stride
            limits = np.array(self.net_size[::-1] * 2) - 1
            boxes = np.clip(moved(start + table[anchor], moves), 0, limits).astype(np.float32)
            kept = suppressed(boxes, best[row, column, anchor], self.nms_threshold, pixel_overlap)[
                : self.post_nms_top_n
            ]
            number = np.full((len(kept), 1), image, np.float32)
            images.append(np.concatenate([number, boxes[kept]], axis=1))
        return table_of(images, self.post_nms_top_n, FIELDS)


def anchors(base: int) -> Array:
    """Corner boxes [9, 4] of the first cell, by ratio and scale; sizes are rounded half up
    to whole pixels before they are scaled."""
    found = []
    for ratio in RATIOS:
        width = np.floor(base / np.sqrt(ratio) + 0.5)
        height = np.floor(width * ratio + 0.5)
        for scale in SCALES:
            half = (np.array([width, height]) * scale - 1) / 2
            found.append(np.concatenate([(base - 1) / 2 - half, (base - 1) / 2 + half]))
    return np.array(found)
