"""Detections of SSD out of locations, confidences and prior boxes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

import numpy as np

from cvi.errors import ModelError, RunnerError, UnsupportedError
from cvi.ir.types import Array, DType
from cvi_tpu.libm import expf
from cvi_tpu.runtime.functions.call import Call, Operand
from cvi_tpu.runtime.functions.registry import cpu_function
from cvi_tpu.runtime.functions.sorting import largest_descending, sorted_descending
from cvi_tpu.runtime.functions.suppress import Rows, larger, smaller

_Choice = Callable[[Array, Array], Array]
_BLOCK = 64
_NAMES = ("mbox_loc", "mbox_conf", "mbox_priorbox")


@dataclass(frozen=True)
class _Settings:
    classes: int
    shared: bool
    background: int
    code: str
    top: int
    overlap: np.float32
    confidence: np.float32
    keep: int


@dataclass(frozen=True)
class _Found:
    """Boxes of one class that survived: scores and corners."""

    label: int
    scores: Array
    boxes: Array


@cpu_function("detectionoutput")
def detectionoutput(call: Call) -> list[Array]:
    """Rows (image, class, score, x1, y1, x2, y2), by class, of all images one after the
    other; then rows of -1, then 0 where the output has more than keep_top_k rows per image.
    Without any detection the first value of row i is i.

    Inputs: locations, confidences and prior boxes with variances, found by "mbox_loc",
    "mbox_conf" and "mbox_priorbox" in their names, else by order. CENTER_SIZE is the only
    code. Equal scores come in the order that the C++ library's sorting leaves.

    This is the runtime of x86 hosts, exp from the C library; boards with NEON use a
    polynomial for exp.
    """
    settings = _settings(call)
    location, confidence, prior = _inputs(call)
    images, priors = location.values.shape[0], prior.values.shape[2] // 4
    labels = 1 if settings.shared else settings.classes
    for operand, need in (
        (location, images * priors * labels * 4),
        (confidence, images * priors * settings.classes),
        (prior, priors * 8),
    ):
        if operand.values.size < need or not priors:
            raise ModelError(
                f"{images} images with {priors} prior boxes need {need} values"
                f" (argument 'num_classes' is {settings.classes})",
                where=operand.name,
            )
    scores = confidence.values.reshape(-1)[: images * priors * settings.classes]
    shifts = location.values.reshape(-1)[: images * priors * labels * 4]
    boxes = prior.values.reshape(-1)[: priors * 8].reshape(2, priors, 4)
    found = [
        _detect(s, d, boxes, settings)
        for s, d in zip(
            scores.reshape(images, priors, settings.classes),
            shifts.reshape(images, priors, labels, 4),
            strict=True,
        )
    ]
    return [_written(call, found, settings.keep)]


def _settings(call: Call) -> _Settings:
    settings = _Settings(
        classes=call.positive("num_classes"),
        shared=call.argument("share_location", bool),
        background=call.argument("background_label_id", int),
        code=call.argument("code_type", str),
        top=call.argument("top_k", int),
        overlap=np.float32(call.argument("nms_threshold", float)),
        confidence=np.float32(call.argument("confidence_threshold", float)),
        keep=call.argument("keep_top_k", int),
    )
    if settings.top < 0:
        raise ModelError(f"argument 'top_k' is {settings.top}; the vendor's runtime crashes")
    if settings.code != "CENTER_SIZE":
        raise UnsupportedError(
            f"argument 'code_type' is {settings.code!r}; the vendor's runtime has only CENTER_SIZE"
        )
    return settings


def _inputs(call: Call) -> list[Operand]:
    operands = call.all_fp32(3)
    named = [next((o for o in operands if name in o.name), None) for name in _NAMES]
    found = [operand for operand in named if operand is not None]
    return found if len(found) == len(operands) else operands


def _detect(scores: Array, shifts: Array, priors: Array, settings: _Settings) -> list[_Found]:
    """Detections of one image by class. scores [priors, classes]."""
    if settings.shared and settings.background == -1:
        return []  # -1 is also the vendor's name of the shared location
    found = []
    for label in range(settings.classes):
        if label == settings.background:
            continue
        candidates = np.flatnonzero(scores[:, label] > settings.confidence)
        if not candidates.size or not settings.top:
            continue
        values = scores[candidates, label]
        if settings.top < len(values):
            order = largest_descending(values, settings.top)
        else:
            order = sorted_descending(values)
        chosen = candidates[order]
        corners = _decoded(shifts[chosen, 0 if settings.shared else label], priors[:, chosen])
        kept = _suppressed(corners, settings.overlap)
        found.append(_Found(label, values[order][kept], corners[kept]))
    return _strongest(found, settings.keep)


def _decoded(shifts: Array, priors: Array) -> Array:
    """Corners [n, 4] of CENTER_SIZE deltas; priors [2, n, 4] with variances."""
    box, variance = priors
    width, height = box[:, 2] - box[:, 0], box[:, 3] - box[:, 1]
    if not ((width > 0) & (height > 0)).all():
        raise RunnerError("a prior box has no width or height: the vendor's runtime aborts")
    half = np.float32(0.5)
    sizes = np.stack([width, height], axis=1)
    middle = (box[:, :2] + box[:, 2:]) * half
    centre = (variance[:, :2] * shifts[:, :2] * sizes + middle).astype(np.float64)
    reach = (expf(variance[:, 2:] * shifts[:, 2:]) * sizes).astype(np.float64) * 0.5
    return np.concatenate([centre - reach, centre + reach], axis=1).astype(np.float32)


def _suppressed(boxes: Array, overlap: np.float32) -> Array:
    """Positions of the boxes that no earlier kept one overlaps too much."""
    gone = np.zeros(len(boxes), bool)
    fields = _with_sizes(boxes)
    kept = []
    for start in range(0, len(boxes), _BLOCK):
        later = fields[:, None, start:]
        table = _overlapping(fields[:, start : start + _BLOCK, None], later, overlap)
        for i, row in enumerate(table):
            if not gone[start + i]:
                kept.append(start + i)
                gone[start:] |= row
    return np.array(kept, np.int64)


def _with_sizes(boxes: Array) -> Array:
    """Fields (x1, y1, x2, y2, area), the area of a box inside out being 0."""
    x1, y1, x2, y2 = boxes.T
    inside_out = (x2 < x1) | (y2 < y1)
    return np.stack([x1, y1, x2, y2, np.where(inside_out, 0, (x2 - x1) * (y2 - y1))])


def _overlapping(kept: Array, box: Array, overlap: np.float32) -> Array:
    """Whether intersection * (1 + overlap) is above overlap * (sum of areas); boxes that
    touch may count, those apart do not. Fields of `_with_sizes`."""
    numbers = not (np.isnan(box).any() or np.isnan(kept).any())
    high: _Choice = np.maximum if numbers else larger  # numpy's are quicker, but keep NaN
    low: _Choice = np.minimum if numbers else smaller
    width = low(box[2], kept[2]) - high(box[0], kept[0])
    height = low(box[3], kept[3]) - high(box[1], kept[1])
    both = width * height * (overlap + np.float32(1))
    little = both <= (box[4] + kept[4]) * overlap
    found: Array = ~(little | (width < 0) | (height < 0))
    return found


def _strongest(found: list[_Found], keep: int) -> list[_Found]:
    """The `keep` highest scores of all classes (all when -1 or fewer), still by class."""
    total = sum(len(f.scores) for f in found)
    if keep <= -1 or total <= keep:
        return found
    scores = np.concatenate([f.scores for f in found])
    owner = np.concatenate([np.full(len(f.scores), i) for i, f in enumerate(found)])
    place = np.concatenate([np.arange(len(f.scores)) for f in found])
    chosen = sorted_descending(scores)[:keep]
    left = []
    for i, group in enumerate(found):
        mine = place[chosen[owner[chosen] == i]]
        left.append(_Found(group.label, group.scores[mine], group.boxes[mine]))
    return left


def _written(call: Call, found: list[list[_Found]], keep: int) -> Array:
    rows = Rows(call)
    fill = max(len(found) * keep, 0)
    if fill * 7 > prod(call.output(DType.FP32).shape[:4]):
        raise ModelError(f"the output has no room for {fill} rows", where=call.outputs[0].name)
    rows.write_at(0, np.full(fill * 7, -1, np.float32))
    lines = [_lines(image, group) for image, groups in enumerate(found) for group in groups]
    table = np.concatenate([*lines, np.zeros((0, 7), np.float32)])
    if len(table):
        rows.write_at(0, table)
    else:
        for image in range(len(found)):
            rows.write_at(image * 7, np.array([image], np.float32))
    return rows.values


def _lines(image: int, found: _Found) -> Array:
    head = np.empty((len(found.scores), 3), np.float32)
    head[:, 0], head[:, 1], head[:, 2] = image, found.label, found.scores
    return np.concatenate([head, found.boxes], axis=1)
