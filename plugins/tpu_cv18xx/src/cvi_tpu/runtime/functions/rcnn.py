"""The end of Faster R-CNN: pooling of regions, and detections out of them."""

from __future__ import annotations

from math import prod

import numpy as np

from cvi.errors import ModelError, RunnerError
from cvi.ir.types import Array
from cvi_tpu.libm import expf
from cvi_tpu.runtime.functions.call import Call, Operand
from cvi_tpu.runtime.functions.registry import cpu_function
from cvi_tpu.runtime.functions.suppress import (
    Rows,
    overlap_with_margin,
    refuse_excess,
    suppress_in_order,
    with_areas,
)

_HALF, _ONE, _TWO = np.float32(0.5), np.float32(1), np.float32(2)


@cpu_function("frcn_detection")
def frcn_detection(call: Call) -> list[Array]:
    """Rows (x1, y1, x2, y2, class, score), one image.

    Inputs, sorted by their second dimension from the largest: box deltas of every class,
    scores of every class, regions [1, 1, num, 5] as (image, x1, y1, x2, y2). Class 0 is the
    background. Boxes are not clipped and keep the order region, class; unused rows are 0.

    Refused, as the vendor's function reads or writes other memory: more than one image, and
    more boxes above obj_threshold than regions.
    """
    overlap, threshold = (call.argument(k, float) for k in ("nms_threshold", "obj_threshold"))
    keep, classes = max(call.argument("keep_topk", int), 0), call.positive("class_num")
    maps = sorted(call.all_fp32(3), key=lambda m: m.values.shape[1], reverse=True)
    deltas, scores, regions = (m.values.reshape(-1) for m in maps)
    images, _, num, _ = maps[2].values.shape
    if images != 1:
        raise ModelError("frcn_detection works on one image", where=maps[2].name)
    for operand, need in zip(maps, (num * classes * 4, num * classes, num * 5), strict=True):
        if operand.values.size < need:
            raise ModelError(f"{num} regions need {need} values", where=operand.name)
    boxes = _decoded(regions[: num * 5].reshape(num, 5)[:, 1:], deltas, classes)
    table = scores[: num * classes].reshape(num, classes).copy()
    table[:, 0] = -np.inf
    region, label = np.nonzero(table > np.float32(threshold))
    if len(region) > num:
        raise RunnerError(
            f"{len(region)} boxes of {num} regions are above obj_threshold; the vendor's runtime"
            " has memory for one per region",
            fix="raise obj_threshold",
        )
    rows = Rows(call)
    rows.write(0, _survivors(boxes[region, label], label, table[region, label], overlap)[:keep])
    return [rows.values]


def _decoded(regions: Array, deltas: Array, classes: int) -> Array:
    """Boxes of every region and class [num, classes, 4]."""
    width = (regions[:, 2] - regions[:, 0] + _ONE)[:, None]
    height = (regions[:, 3] - regions[:, 1] + _ONE)[:, None]
    num = len(regions)
    dx, dy, dw, dh = np.moveaxis(deltas[: num * classes * 4].reshape(num, classes, 4), 2, 0)
    x = dx * width + (regions[:, 0, None] + width * _HALF)
    y = dy * height + (regions[:, 1, None] + height * _HALF)
    half_w, half_h = expf(dw) * width / _TWO, expf(dh) * height / _TWO
    return np.stack([x - half_w, y - half_h, x + half_w, y + half_h], axis=2)


def _survivors(boxes: Array, label: Array, score: Array, overlap: float) -> Array:
    """Rows (x1, y1, x2, y2, class, score); a score of 0 counts as gone from the start."""
    here = np.flatnonzero(score != 0)
    boxes, classes, score = boxes[here], label[here].astype(np.float32), score[here]

    def ratios(one: Array, others: Array) -> Array:
        found = overlap_with_margin(one, others)
        found = np.where(others[5] == one[5], found, np.float32(-1))
        refuse_excess(found)
        return found

    fields = np.concatenate([with_areas(boxes), classes[None]])
    alive = suppress_in_order(fields, score, ratios, overlap)
    alive = alive[score[alive] > 0]
    return np.concatenate([boxes[alive], classes[alive, None], score[alive, None]], axis=1)


@cpu_function("roi_pooling")
def roi_pooling(call: Call) -> list[Array]:
    """Maximum in each of pooled_h x pooled_w bins of every region.

    Inputs: an image [n, c, h, w] and regions [n, 1, num, 5] as (image, x1, y1, x2, y2); the
    output is [n * num, c, pooled_h, pooled_w]. Regions are scaled and rounded half away from
    zero. The maximum starts at 0: negative values never win (vendor's fault).

    The vendor takes the first input for the image if its channels are the output's and the
    second has as many regions as the output has rows; for n > 1 that fails, and the regions
    must come first (vendor's fault).
    """
    bins = call.positive("pooled_h"), call.positive("pooled_w")
    scale = np.float32(call.argument("spatial_scale", float))
    image, regions = _image_and_regions(call)
    n, channels = image.values.shape[:2]
    num = regions.values.shape[2]
    stride = prod(regions.values.shape[1:])
    if regions.values.shape[0] < n or stride < num * 5:
        raise ModelError(f"regions of {regions.values.shape} for {n} images", where=regions.name)
    call.images(n * num, channels * prod(bins))
    values = np.fmax(image.values, np.float32(0)) + np.float32(0)
    pixels = np.ascontiguousarray(values.transpose(0, 2, 3, 1))
    table = np.concatenate([_regions(regions.values, b, num) for b in range(n)])
    places = _places(table, scale, n, regions.name)
    out = np.zeros((n * num, *bins, channels), np.float32)
    for row, (index, *corners) in zip(out, places.tolist(), strict=True):
        _pool(pixels[index], row, corners)
    return [out.transpose(0, 3, 1, 2)]


def _image_and_regions(call: Call) -> tuple[Operand, Operand]:
    first, second = call.all_fp32(2)
    out = call.output(*{first.dtype}).shape
    if first.values.shape[1] == out[1] and second.values.shape[2] == out[0]:
        return first, second
    return second, first


def _regions(regions: Array, image: int, num: int) -> Array:
    flat: Array = regions[image].reshape(-1)[: num * 5]
    return flat.reshape(num, 5)


def _places(table: Array, scale: np.float32, images: int, name: str) -> Array:
    """Integers (image, x1, y1, x2, y2) per region."""
    wide = (table[:, 1:] * scale).astype(np.float64)
    corners = np.trunc(wide + np.copysign(0.5, wide))
    index = np.trunc(table[:, :1].astype(np.float64))
    places = np.concatenate([index, corners], axis=1)
    if not (np.abs(places) < 1 << 30).all():
        raise RunnerError("a region has no finite place", where=name)
    if not ((index >= 0) & (index < images)).all():
        raise RunnerError(f"a region is of none of the {images} images", where=name)
    return places.astype(np.int64)


def _spans(start: int, end: int, bins: int, limit: int) -> Array:
    """First and last + 1 pixel of every bin of one dimension, [bins, 2]."""
    size = np.float32(max(end - start + 1, 1)) / np.float32(bins)
    index = np.arange(bins, dtype=np.float32)
    spans = np.stack([np.floor(index * size), np.ceil((index + _ONE) * size)], axis=1)
    inside: Array = np.clip(spans.astype(np.int64) + start, 0, limit)
    return inside


def _pool(image: Array, out: Array, corners: list[int]) -> None:
    """Bins of one region; image and out are [rows, columns, channels]."""
    x1, y1, x2, y2 = corners
    rows = _spans(y1, y2, out.shape[0], image.shape[0]).tolist()
    columns = _spans(x1, x2, out.shape[1], image.shape[1]).tolist()
    left, right = columns[0][0], columns[-1][1]
    if left >= right:
        return
    bands = np.zeros((len(rows), right - left, image.shape[2]), np.float32)
    for band, (top, bottom) in zip(bands, rows, strict=True):
        if top < bottom:
            band[...] = image[top:bottom, left:right].max(axis=0)
    for j, (first, last) in enumerate(columns):
        if first < last:
            out[:, j] = bands[:, first - left : last - left].max(axis=1)
