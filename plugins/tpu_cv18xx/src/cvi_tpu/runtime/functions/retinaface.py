"""Faces and landmarks out of the nine maps of RetinaFace."""

from __future__ import annotations

import numpy as np

from cvi.errors import ModelError, RunnerError
from cvi.ir.types import Array
from cvi_tpu.runtime.functions.call import Call, Operand
from cvi_tpu.runtime.functions.registry import cpu_function
from cvi_tpu.runtime.functions.sorting import sorted_descending
from cvi_tpu.runtime.functions.suppress import Rows, corner_area

STRIDES = {32: (32, 16), 16: (8, 4), 8: (2, 1)}
"""Pixels between cells, and the scales of the two anchors."""

BASE = 17
"""Anchors are 17 * scale + 1 pixels wide about pixel 8: the vendor adds the last pixel
twice."""

_ONE = np.float32(1)


@cpu_function("retinaface_detection")
def retinaface_detection(call: Call) -> list[Array]:
    """Rows (x1, y1, x2, y2, score, five times x and y) in pixels, from the highest score.

    Inputs, sorted by width and then by channels: per stride 32, 16 and 8 the scores
    [n, 4, h, w] whose second half counts, box deltas [n, 8, h, w] and landmarks
    [n, 20, h, w]. Unused rows are 0.

    The vendor's fault: after a face is taken, the remaining ones are compared with the
    next one in the list instead, its area being that of the taken one.
    """
    overlap, threshold = (
        np.float32(call.argument(k, float)) for k in ("nms_threshold", "confidence_threshold")
    )
    keep = max(call.argument("keep_topk", int), 0)
    maps = call.all_fp32(9)
    maps.sort(key=lambda m: (m.values.shape[3], m.values.shape[1]))
    rows = Rows(call)
    for image in range(rows.images):
        found = [
            _faces(maps[3 * i : 3 * i + 3], stride, threshold, image, rows.images)
            for i, stride in enumerate(STRIDES)
        ]
        faces = np.concatenate(found)
        if np.isnan(faces[:, 4]).any():
            raise RunnerError("a score is NaN: the vendor's runtime cannot sort it")
        faces = faces[sorted_descending(faces[:, 4])]
        rows.write(image, faces[_kept(faces[:, :4], overlap)][:keep])
    return [rows.values]


def _of_image(operand: Operand, image: int, images: int) -> Array:
    """The values of one image of the output, flat; the inputs may have another number of
    images, then the vendor's function takes other pieces."""
    values = operand.values.reshape(-1)
    start, count = image * operand.values[0].size, values.size // images
    if start + count > values.size:
        raise ModelError(f"there is no image {image} in it", where=operand.name)
    piece: Array = values[start : start + count]
    return piece


def _faces(
    maps: list[Operand], stride: int, threshold: np.float32, image: int, images: int
) -> Array:
    """Rows of the faces above the threshold, in the order anchor, row, column."""
    scores, deltas, landmarks = (_of_image(m, image, images) for m in maps)
    scores = scores[len(scores) // 2 :]
    scales = STRIDES[stride]
    height, width = maps[0].values.shape[2:]
    cells, anchors = height * width, len(scales)
    for operand, array, need in zip(maps, (scores, deltas, landmarks), (1, 4, 10), strict=True):
        if array.size < need * anchors * cells:
            raise ModelError(
                f"{array.size} values for {anchors} anchors in {height} x {width} cells",
                where=operand.name,
            )
    score = scores[: anchors * cells].reshape(anchors, cells)
    anchor, cell = np.nonzero(~(score <= threshold))
    box = deltas[: 4 * anchors * cells].reshape(anchors, 4, cells)[anchor, :, cell]
    points = landmarks[: 10 * anchors * cells]
    points = points.reshape(anchors, 5, 2, cells)[anchor, :, :, cell]
    size = np.array([BASE * scale + 1 for scale in scales], np.float32)[anchor]
    corner = np.array([8 - (BASE * scale - 1) / 2 for scale in scales], np.float32)[anchor]
    middle = corner + (size - _ONE) / 2
    centre = np.stack([cell % width, cell // width], axis=1).astype(np.float32) * stride
    centre = centre + middle[:, None]
    marks = centre[:, None] + points * size[:, None, None]
    corners = _corners(centre, box, size)
    columns = [corners, score[anchor, cell][:, None], marks.reshape(-1, 10)]
    return np.concatenate(columns, axis=1).astype(np.float32)


def _corners(centre: Array, deltas: Array, size: Array) -> Array:
    """exp in double precision, as the vendor's function calls it."""
    place = deltas[:, :2] * size[:, None] + centre
    sides = np.exp(deltas[:, 2:].astype(np.float64)) * size[:, None]
    half = 0.5 * (sides.astype(np.float32) - _ONE).astype(np.float64)
    wide = place.astype(np.float64)
    return np.concatenate([wide - half, wide + half], axis=1).astype(np.float32)


def _kept(boxes: Array, overlap: np.float32) -> list[int]:
    areas = corner_area(boxes)
    gone = np.zeros(len(boxes), bool)
    kept = []
    for taken in range(len(boxes)):
        if gone[taken]:
            continue
        kept.append(taken)
        if taken + 1 < len(boxes):
            _mark(boxes, areas, gone, taken, overlap)
    return kept


def _mark(boxes: Array, areas: Array, gone: Array, taken: int, overlap: np.float32) -> None:
    """Mark what overlaps with the box after the taken one, itself included."""
    other, later = boxes[taken + 1], boxes[taken + 1 :]
    width = np.minimum(other[2], later[:, 2]) - np.maximum(other[0], later[:, 0]) + _ONE
    height = np.minimum(other[3], later[:, 3]) - np.maximum(other[1], later[:, 1]) + _ONE
    both = width * height
    ratio = both / (areas[taken] + areas[taken + 1 :] - both)
    gone[taken + 1 :] |= (ratio > overlap) & ~((width <= 0) | (height <= 0))
