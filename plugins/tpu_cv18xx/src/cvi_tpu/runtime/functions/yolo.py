"""Detections out of the feature maps of YOLO v3 and v4."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cvi.errors import ModelError, RunnerError
from cvi.ir.types import Array
from cvi_tpu.libm import expf
from cvi_tpu.runtime.functions.call import Call, Operand
from cvi_tpu.runtime.functions.registry import cpu_function
from cvi_tpu.runtime.functions.suppress import Rows, refuse_excess, suppress_in_order

BOXES_PER_CELL = 3
MOST_BOXES = 200
"""Above the objectness threshold per image, before suppression; more abort the runtime."""

_ONE = np.float32(1)

_TINY = (10, 14, 23, 27, 37, 58, 81, 82, 135, 169, 344, 319)
_V3 = (10, 13, 16, 30, 33, 23, 30, 61, 62, 45, 59, 119, 116, 90, 156, 198, 373, 326)
_V4 = (142, 110, 192, 243, 459, 401, 36, 75, 76, 55, 72, 146, 12, 16, 19, 36, 40, 28)


@dataclass(frozen=True)
class _Settings:
    """Arguments; anchors: width and height in pixels of the network's input, three per
    feature map."""

    height: int
    width: int
    objectness: np.float32
    overlap: float
    keep: int
    classes: int
    anchors: Array


@cpu_function("yolo_detection")
def yolo_detection(call: Call) -> list[Array]:
    """Rows (x, y, w, h, class, score) per image, centres and sizes relative to the image.

    Inputs: three feature maps (two when `tiny`) [n, 3 * (5 + class_num), h, w], the widest
    first; maps given in another order are sorted. Boxes keep the order map, cell, anchor and
    are not sorted by score before the first keep_topk are taken. Unused rows are 0.

    `yolo_v4` only chooses the default anchors, whose order fits maps from the narrowest to
    the widest (vendor's fault: give `anchors`); `spp_net` does nothing.
    """
    count = 2 if call.optional("tiny", False) else 3
    call.optional("spp_net", False)
    settings = _settings(call, count)
    maps = sorted(call.all_fp32(count), key=lambda m: m.values.shape[3], reverse=True)
    rows = Rows(call)
    for feature in maps:
        _check(feature, rows.images, settings)
    for image in range(rows.images):
        found = [
            _boxes(feature.values[image], anchors, settings)
            for feature, anchors in zip(maps, settings.anchors, strict=True)
        ]
        rows.write(image, _kept(np.concatenate(found), settings))
    return [rows.values]


def _settings(call: Call, maps: int) -> _Settings:
    classes = call.optional("class_num", 80)
    if classes < 1:
        raise ModelError(f"argument 'class_num' is {classes}")
    return _Settings(
        height=call.positive("net_input_h"),
        width=call.positive("net_input_w"),
        objectness=np.float32(call.argument("obj_threshold", float)),
        overlap=call.argument("nms_threshold", float),
        keep=max(call.argument("keep_topk", int), 0),
        classes=classes,
        anchors=_anchors(call, maps),
    )


def _anchors(call: Call, maps: int) -> Array:
    """[maps, 3, 2]."""
    default = _TINY if call.optional("tiny", False) else _V3
    if call.optional("yolo_v4", False) and not call.optional("tiny", False):
        default = _V4
    text = call.optional("anchors", "")
    try:
        numbers = [float(part) for part in text.split(",")] if text else list(default)
    except ValueError:
        raise ModelError(f"argument 'anchors' is no list of numbers: {text[:80]!r}") from None
    if len(numbers) != maps * 2 * BOXES_PER_CELL:
        raise ModelError(f"argument 'anchors' has {len(numbers)} numbers for {maps} maps")
    return np.array(numbers, np.float32).reshape(maps, BOXES_PER_CELL, 2)


def _check(feature: Operand, images: int, settings: _Settings) -> None:
    channels = BOXES_PER_CELL * (5 + settings.classes)
    shape = feature.values.shape
    if shape[0] < images or shape[1] < channels:
        raise ModelError(
            f"a map of {shape} for {images} images and {channels} channels"
            f" (argument 'class_num' is {settings.classes})",
            where=feature.name,
        )


def _boxes(feature: Array, anchors: Array, settings: _Settings) -> Array:
    """Rows (x, y, w, h, class, score) above the threshold, in the order cell, anchor."""
    depth = 5 + settings.classes
    height, width = feature.shape[1:]
    cells = feature[: BOXES_PER_CELL * depth].reshape(BOXES_PER_CELL, depth, height * width)
    objectness = _sigmoid(cells[:, 4])
    cell, anchor = np.nonzero(~(objectness < settings.objectness).T)
    best, probability = _best_class(cells[anchor, 5:, cell])
    score = objectness[anchor, cell] * probability
    enough = np.flatnonzero(~(score < settings.objectness))
    cell, anchor = cell[enough], anchor[enough]
    x, y, w, h = cells[anchor, :4, cell].T
    x = (_sigmoid(x) + (cell % width).astype(np.float32)) / np.float32(width)
    y = (_sigmoid(y) + (cell // width).astype(np.float32)) / np.float32(height)
    w = expf(w) * anchors[anchor, 0] / np.float32(settings.width)
    h = expf(h) * anchors[anchor, 1] / np.float32(settings.height)
    return np.stack([x, y, w, h, best[enough], score[enough]], axis=1).astype(np.float32)


def _sigmoid(x: Array) -> Array:
    value: Array = _ONE / (_ONE + expf(-x))
    return value


def _best_class(logits: Array) -> tuple[Array, Array]:
    """Class and its softmax probability; [n, classes].

    When the smallest logit is below -100, the differences to the largest are scaled by
    -100 / smallest before exp (the vendor's way).
    """
    if not len(logits):
        return np.zeros(0, np.float32), np.zeros(0, np.float32)
    shifted = logits - logits.max(axis=1, keepdims=True)
    smallest = logits.min(axis=1, keepdims=True)
    hundred = np.float32(-100)
    shifted = np.where(smallest < hundred, shifted / smallest * hundred, shifted)
    powers = expf(shifted)
    total = np.cumsum(powers, axis=1, dtype=np.float32)[:, -1:]
    probabilities = np.nan_to_num(powers / total, nan=0.0)
    best = probabilities.argmax(axis=1)
    largest = probabilities.max(axis=1)
    return np.where(largest > 0, best, -1).astype(np.float32), largest


def _kept(boxes: Array, settings: _Settings) -> Array:
    if len(boxes) > MOST_BOXES:
        raise RunnerError(
            f"{len(boxes)} boxes are above obj_threshold {settings.objectness:g}; the vendor's"
            f" runtime aborts at more than {MOST_BOXES}",
            fix="raise obj_threshold",
        )

    def ratios(one: Array, others: Array) -> Array:
        same = others[4] == one[4]
        found = np.full(others.shape[1], -1, np.float32)
        found[same] = _overlap(one, others[:, same])
        refuse_excess(found)
        return found

    boxes = boxes[boxes[:, 5] != 0]
    fields = np.ascontiguousarray(boxes.T)
    alive = suppress_in_order(fields, boxes[:, 5], ratios, settings.overlap)
    kept: Array = boxes[alive[boxes[alive, 5] > 0]][: settings.keep]
    return kept


def _overlap(one: Array, others: Array) -> Array:
    """Intersection over union of boxes given by centre and size, [fields, n]."""
    width = _common(one[0], one[2], others[0], others[2])
    height = _common(one[1], one[3], others[1], others[3])
    both = np.where((width < 0) | (height < 0), np.float32(0), width * height)
    ratio: Array = both / (one[2] * one[3] + others[2] * others[3] - both)
    return ratio


def _common(centre: Array, size: Array, centres: Array, sizes: Array) -> Array:
    two = np.float32(2)
    left, lefts = centre - size / two, centres - sizes / two
    right, rights = centre + size / two, centres + sizes / two
    low = np.where(left > lefts, left, lefts)  # so, not as numpy's maximum, with NaN
    high = np.where(right < rights, right, rights)
    common: Array = high - low
    return common
