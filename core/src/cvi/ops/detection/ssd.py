"""Detections of SSD."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cvi.ir import Array, TensorType
from cvi.ops.check import Types, floats, operands, require
from cvi.ops.detection.base import Detection, corner_overlap, suppressed

FIELDS = 7
CODE_TYPES = ("corner", "center_size", "corner_size")


@dataclass(frozen=True, kw_only=True)
class DetectionOutput(Detection):
    """Rows (image, class, score, x1, y1, x2, y2) relative to the image.

    Inputs: locations [N, P * 4] (per class unless share_location: [N, P * C * 4]),
    confidences [N, P * C], prior boxes with variances [1, 2, P * 4]. top_k: candidates of a
    class before suppression, -1 for all. keep_top_k: rows per image, and as many detections
    are kept of the best of all classes.

    The rows of all images stand one after the other, by image, class, and score; then rows
    of -1. Without any detection row i starts with i for every image i. As in Caffe, boxes
    are not clipped.
    """

    num_classes: int
    share_location: bool = True
    background_label: int = 0
    code_type: str = "center_size"
    nms_threshold: float
    top_k: int = -1
    keep_top_k: int
    confidence_threshold: float = 0.0

    def infer(self, inputs: Types) -> TensorType:
        loc, conf, priors = operands(self, inputs, 3)
        floats(self, inputs)
        known = ", ".join(CODE_TYPES)
        require(self, self.code_type in CODE_TYPES, f"{self.code_type!r} is not one of {known}")
        shape = priors.shape
        fits = len(shape) >= 3 and shape[:2] == (1, 2) and shape[2] * 2 == priors.elements
        require(self, fits and shape[2] % 4 == 0, f"prior boxes cannot be {priors}")
        images, count = loc.shape[0] if loc.shape else 0, shape[2] // 4
        labels = 1 if self.share_location else self.num_classes
        for what, t, need in (("loc", loc, 4 * labels), ("conf", conf, self.num_classes)):
            wanted = images * count * need
            require(self, t.elements == wanted, f"{what} is {t}, needed are {wanted} elements")
        return self.rows(images, self.keep_top_k, FIELDS)

    def evaluate(self, *inputs: Array | None) -> Array:
        loc, conf, priors = inputs
        assert loc is not None and conf is not None and priors is not None
        images, boxes = loc.shape[0], priors.reshape(2, -1, 4)
        shifts = loc.reshape(images, boxes.shape[1], -1, 4)
        scores = conf.reshape(images, boxes.shape[1], self.num_classes)
        lists = [self._rows(i, shifts[i], scores[i], boxes) for i in range(images)]
        found = np.concatenate(lists)
        out = np.full((images * self.keep_top_k, FIELDS), -1, np.float32)
        out[: len(found)] = found
        if not len(found):
            out[:images, 0] = np.arange(images)
        return out.reshape(images, 1, self.keep_top_k, FIELDS)

    def _rows(self, image: int, shifts: Array, scores: Array, priors: Array) -> Array:
        """The detections of one image; shifts [P, labels, 4], scores [P, C]."""
        found = [np.zeros((0, FIELDS), np.float32)]
        for label in range(self.num_classes):
            if label == self.background_label:
                continue
            chosen = self._candidates(scores[:, label])
            delta = shifts[chosen, 0 if self.share_location else label]
            boxes, best = self._decoded(delta, priors[:, chosen]), scores[chosen, label]
            kept = suppressed(boxes, best, self.nms_threshold, corner_overlap)
            head = np.full((len(kept), 3), (image, label, 0), np.float32)
            head[:, 2] = best[kept]
            found.append(np.concatenate([head, boxes[kept]], axis=1))
        rows = np.concatenate(found)
        strongest = np.argsort(-rows[:, 2], kind="stable")[: self.keep_top_k]
        ordered: Array = rows[strongest[np.argsort(rows[strongest, 1], kind="stable")]]
        return ordered

    def _candidates(self, scores: Array) -> Array:
        above = np.flatnonzero(scores > np.float32(self.confidence_threshold))
        above = above[np.argsort(-scores[above], kind="stable")]
        return above if self.top_k < 0 else above[: self.top_k]

    def _decoded(self, deltas: Array, priors: Array) -> Array:
        """Corner boxes; priors [2, n, 4] with variances."""
        box, moves = priors[0], priors[1] * deltas
        if self.code_type == "corner":
            return np.asarray(box + moves)
        sides = box[:, 2:] - box[:, :2]
        if self.code_type == "corner_size":
            return np.asarray(box + moves * np.tile(sides, 2))
        centre = (box[:, :2] + box[:, 2:]) / 2 + moves[:, :2] * sides
        half = np.exp(moves[:, 2:]) * sides / 2
        return np.concatenate([centre - half, centre + half], axis=1)
