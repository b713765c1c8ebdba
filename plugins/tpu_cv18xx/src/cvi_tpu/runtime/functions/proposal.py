"""Region proposals of Faster R-CNN."""

from __future__ import annotations

import numpy as np

from cvi.errors import ModelError, RunnerError
from cvi.ir.types import Array
from cvi_tpu.libm import expf
from cvi_tpu.runtime.functions.call import Call
from cvi_tpu.runtime.functions.registry import cpu_function
from cvi_tpu.runtime.functions.suppress import (
    Rows,
    overlap_with_margin,
    suppress_in_order,
    with_areas,
)

SCALES = (8, 16, 32)
RATIOS = (0.5, 1, 2)
LARGEST = 1 << 16
"""Pixels; larger strides and anchors would leave the range of exact fp32 places."""

ANCHORS = len(SCALES) * len(RATIOS)

_ONE = np.float32(1)


@cpu_function("proposal")
def proposal(call: Call) -> list[Array]:
    """Rows (image, x1, y1, x2, y2), the first rpn_nms_post_top_n that survive.

    Inputs, sorted by channels: scores [n, 18, h, w] of which the second half counts, box
    deltas [n, 36, h, w]. Boxes keep the order anchor, row, column; there is no limit before
    suppression and no sorting. Unused rows are 0. An image without any box above the
    threshold crashes the vendor's runtime and is an error here.
    """
    stride, base = call.positive("feat_stride"), call.positive("anchor_base_size")
    limits = call.positive("net_input_w"), call.positive("net_input_h")
    threshold = np.float32(call.argument("rpn_obj_threshold", float))
    overlap, most = (
        call.argument("rpn_nms_threshold", float),
        call.argument("rpn_nms_post_top_n", int),
    )
    if most < 0:
        raise ModelError(f"argument 'rpn_nms_post_top_n' is {most}")
    if max(stride, base) > LARGEST:
        raise ModelError(f"arguments 'feat_stride' {stride} and 'anchor_base_size' {base}")
    maps = sorted(call.all_fp32(2), key=lambda m: m.values.shape[1])
    scores, deltas = (m.values for m in maps)
    n, channels, h, w = scores.shape
    if channels < 2 * ANCHORS or deltas.shape[0] < n or deltas[0].size < 4 * ANCHORS * h * w:
        raise ModelError(f"scores of {scores.shape} with box deltas of {deltas.shape}")
    rows = Rows(call)
    for image in range(n):
        score = scores[image, ANCHORS : 2 * ANCHORS]
        shifts = deltas[image].reshape(-1)[: 4 * ANCHORS * h * w].reshape(ANCHORS, 4, h, w)
        boxes, kept = _boxes(score, shifts, threshold, stride, anchors(base), limits)
        if not len(boxes):
            raise RunnerError(
                "no box is above rpn_obj_threshold: the vendor's runtime crashes",
                fix="lower rpn_obj_threshold",
            )
        alive = suppress_in_order(with_areas(boxes), kept, overlap_with_margin, overlap, most=most)
        number = np.full((len(alive), 1), image, np.float32)
        rows.write(image, np.concatenate([number, boxes[alive]], axis=1))
    return [rows.values]


def anchors(base: int) -> Array:
    """Centre and size (x, y, w, h) of the nine anchors of the first cell."""
    centre, area = 0.5 * (base - 1), np.float32(base) * np.float32(base)
    found = []
    for ratio in RATIOS:
        width = _rounded(np.sqrt(area / np.float32(ratio)))
        height = _rounded(np.float32(width) * np.float32(ratio))
        for scale in SCALES:
            w, h = _corners(centre, width, height)[1]
            (x1, y1), (w, h) = _corners(centre, w * scale, h * scale)
            found.append((x1 + 0.5 * (w - 1), y1 + 0.5 * (h - 1), w, h))
    return np.array(found, np.float32)


def _rounded(value: float) -> int:
    return int(np.floor(float(value) + 0.5))


def _corners(
    centre: float, width: float, height: float
) -> tuple[tuple[float, float], tuple[float, float]]:
    """First corner of a box about the centre of the first cell, and its sizes measured from
    the corners, all rounded to fp32."""
    sizes, first = [], []
    for length in (width, height):
        low, high = (np.float32(centre + sign * 0.5 * (length - 1)) for sign in (-1, 1))
        first.append(float(low))
        sizes.append(float(high - low + _ONE))
    return (first[0], first[1]), (sizes[0], sizes[1])


def _boxes(
    score: Array,
    deltas: Array,
    threshold: np.float32,
    stride: int,
    table: Array,
    limits: tuple[int, int],
) -> tuple[Array, Array]:
    """Boxes (x1, y1, x2, y2) clipped to the image, and their scores."""
    anchor, row, column = np.nonzero(score >= threshold)
    dx, dy, dw, dh = deltas[anchor, :, row, column].T
    cx, cy, w, h = table[anchor].T
    x = (column * stride).astype(np.float32) + cx + w * dx
    y = (row * stride).astype(np.float32) + cy + h * dy
    half_w = 0.5 * (w * expf(dw)).astype(np.float64)
    half_h = 0.5 * (h * expf(dh)).astype(np.float64)
    right, bottom = (np.float32(limit) - _ONE for limit in limits)
    corners = [
        _clipped(x - half_w, right),
        _clipped(y - half_h, bottom),
        _clipped(x + half_w, right),
        _clipped(y + half_h, bottom),
    ]
    return np.stack(corners, axis=1), score[anchor, row, column]


def _clipped(place: Array, limit: np.float32) -> Array:
    """Between 0 and the limit; NaN as the C++ library's min and max treat it."""
    value = place.astype(np.float32)
    value = np.where(limit < value, limit, value)
    return np.where(value < 0, np.float32(0), value)
