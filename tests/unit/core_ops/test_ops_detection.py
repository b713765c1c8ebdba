"""Detection layers on cases computed by hand, and what their shape rules refuse."""

from __future__ import annotations

from math import e, exp, log
from typing import Any

import numpy as np
import pytest

from cvi.errors import ModelError
from cvi.ir import Array, Graph, Input, Op, TensorType
from cvi.ops import (
    DetectionOutput,
    FrcnDetection,
    Proposal,
    RetinaFaceDetection,
    RoiPooling,
    YoloDetection,
)
from cvi.ops.detection.base import corner_overlap, suppressed, suppressed_by_class


def rows(op: Op, *inputs: Array) -> Array:
    """The rows of the first image that are not empty."""
    found = op.evaluate(*(np.asarray(x, np.float32) for x in inputs))[0, 0]
    assert found.dtype == np.float32
    return found[(found != 0).any(axis=1)]


# -- suppression --------------------------------------------------------------------------

CHAIN = np.array([[0, 0, 10, 1], [4, 0, 14, 1], [8, 0, 18, 1]], np.float32)
"""Each overlaps with the next one by 6/14; the first and the third by 2/18."""


def test_of_a_chain_the_ends_survive() -> None:
    kept = suppressed(CHAIN, np.array([0.7, 0.8, 0.9]), 0.4, corner_overlap)
    np.testing.assert_array_equal(kept, [2, 0])
    kept = suppressed(CHAIN, np.array([0.7, 0.9, 0.8]), 0.4, corner_overlap)
    np.testing.assert_array_equal(kept, [1])
    kept = suppressed(CHAIN, np.array([0.7, 0.9, 0.8]), 0.43, corner_overlap)
    np.testing.assert_array_equal(kept, [1, 2, 0])


def test_classes_do_not_suppress_each_other() -> None:
    labels = np.array([0, 1, 0])
    kept = suppressed_by_class(CHAIN, np.array([0.7, 0.9, 0.8]), labels, 0.1, corner_overlap)
    np.testing.assert_array_equal(kept, [1, 2])


def test_the_margin_belongs_to_boxes_and_to_their_common_part() -> None:
    one, other = np.array([0.0, 0, 9, 9]), np.array([[5.0, 0, 14, 9], [10, 0, 19, 9]])
    np.testing.assert_allclose(corner_overlap(one, other), [36 / 126, 0])
    np.testing.assert_allclose(corner_overlap(one, other, margin=1), [50 / 150, 0])


# -- layers -------------------------------------------------------------------------------


def ssd(**fields: Any) -> DetectionOutput:
    fields = {"num_classes": 2, "nms_threshold": 0.5, "keep_top_k": 3} | fields
    return DetectionOutput(name="y", **fields)


@pytest.mark.parametrize(
    ("code", "box"),
    [
        ("corner", [0.2 + 0.1, 0.4 + 0.2, 0.6 + 0.6, 0.6 + 0.8]),
        ("corner_size", [0.2 + 0.04, 0.4 + 0.04, 0.6 + 0.24, 0.6 + 0.16]),
        (
            "center_size",
            [
                0.44 - 0.2 * exp(0.6),
                0.54 - 0.1 * exp(0.8),
                0.44 + 0.2 * exp(0.6),
                0.54 + 0.1 * exp(0.8),
            ],
        ),
    ],
)
def test_codes_of_boxes(code: str, box: list[float]) -> None:
    priors = np.array([[0.2, 0.4, 0.6, 0.6], [0.1, 0.1, 0.2, 0.2]]).reshape(1, 2, 4)
    found = rows(ssd(code_type=code), [[1, 2, 3, 4]], [[0.1, 0.9]], priors)
    np.testing.assert_allclose(found[0], [0, 1, 0.9, *box], rtol=1e-6)
    assert (found[1:] == -1).all() and len(found) == 3


def test_images_without_detections_are_numbered() -> None:
    priors = np.array([[0, 0, 1, 1], [0.1] * 4]).reshape(1, 2, 4)
    op = ssd(confidence_threshold=0.95)
    found = op.evaluate(np.zeros((2, 4)), np.full((2, 2), 0.9), priors)
    np.testing.assert_array_equal(found[..., 0].ravel(), [0, 1, -1, -1, -1, -1])
    assert (found[..., 1:] == -1).all()


def yolo(**fields: Any) -> YoloDetection:
    fields = {
        "net_size": (64, 128), "classes": 2, "nms_threshold": 0.5, "obj_threshold": 0.3,
        "keep_top_k": 5, "tiny": True,
    } | fields  # fmt: skip
    return YoloDetection(name="y", **fields)


def yolo_map(height: int, width: int) -> Array:
    """Nothing in any cell; [anchor, field, row, column]."""
    x = np.zeros((3, 7, height, width), np.float32)
    x[:, 4] = -9
    return x


def test_a_yolo_box() -> None:
    """Objectness 0.75, class probability 0.8; anchor 2 of the wide map is 37 x 58 pixels."""
    wide, narrow = yolo_map(2, 4), yolo_map(1, 2)
    wide[2, :, 1, 3] = [0, log(3), log(2), -log(2), log(3), 0, log(4)]
    found = rows(yolo(), narrow.reshape(1, 21, 1, 2), wide.reshape(1, 21, 2, 4))
    box = [(3 + 0.5) / 4, (1 + 0.75) / 2, 2 * 37 / 128, 0.5 * 58 / 64, 1, 0.75 * 0.8]
    np.testing.assert_allclose(found, [box], rtol=1e-6)


def test_given_anchors_are_in_the_order_of_the_maps() -> None:
    wide, narrow = yolo_map(2, 4), yolo_map(1, 2)
    narrow[1, :, 0, 1] = [0, 0, 0, 0, 9, 9, 0]
    op = yolo(anchors=tuple(float(v) for v in range(1, 13)))
    found = rows(op, narrow.reshape(1, 21, 1, 2), wide.reshape(1, 21, 2, 4))
    np.testing.assert_allclose(found[0, :4], [0.75, 0.5, 3 / 128, 4 / 64])
    found = rows(op, wide.reshape(1, 21, 2, 4), narrow.reshape(1, 21, 1, 2))
    np.testing.assert_allclose(found[0, :4], [0.75, 0.5, 9 / 128, 10 / 64])


def test_default_anchors_are_smaller_in_wider_maps() -> None:
    for op in (yolo(tiny=False), yolo(tiny=False, yolo_v4=True)):
        table = op.anchors_of([10, 40, 20])
        assert table[1].max() < table[2].max() < table[0].max()


def test_of_two_yolo_boxes_the_better_one_survives() -> None:
    wide = yolo_map(1, 2)
    wide[0, :, 0, 0] = [9, 0, 0, 0, 2, 9, -9]  # both centres at the border of the cells
    wide[0, :, 0, 1] = [-9, 0, 0, 0, 3, 9, -9]
    inputs = (wide.reshape(1, 21, 1, 2), yolo_map(1, 1).reshape(1, 21, 1, 1))
    assert len(rows(yolo(), *inputs)) == 1
    assert rows(yolo(), *inputs)[0, 5] == pytest.approx(1 / (1 + exp(-3)))
    assert len(rows(yolo(nms_threshold=1.0), *inputs)) == 2
    assert len(rows(yolo(nms_threshold=1.0, keep_top_k=1), *inputs)) == 1


def faces(values: Array, **fields: Any) -> Array:
    """Maps of one cell per stride 32; `values` are the 32 numbers of its cell."""
    fields = {"nms_threshold": 0.4, "confidence_threshold": 0.5, "keep_top_k": 9} | fields
    maps = []
    for size in (1, 2, 4):
        given = values if size == 1 else np.zeros(32)
        full = np.zeros((32, size, size), np.float32)
        full[:, 0, 0] = given
        maps += [full[None, :4], full[None, 4:12], full[None, 12:]]
    return rows(RetinaFaceDetection(name="y", **fields), *reversed(maps))


def test_a_face() -> None:
    """Anchor 1 of stride 32: 17 * 16 + 1 = 273 pixels about (8.5, 8.5)."""
    values = np.zeros(32)
    values[3] = 0.75
    values[4 + 4 : 4 + 8] = [1 / 273, 0, 0, log(2)]
    values[12 + 10 : 12 + 12] = [0, 2 / 273]
    (face,) = faces(values)
    np.testing.assert_allclose(face[:5], [9.5 - 136, 8.5 - 272.5, 9.5 + 136, 8.5 + 272.5, 0.75])
    np.testing.assert_allclose(face[5:], [8.5, 10.5, *[8.5] * 8])


def test_faces_of_one_place() -> None:
    values = np.zeros(32)
    values[2:4] = [0.6, 0.9]  # the first one is four times as large
    assert len(faces(values)) == 2
    (best,) = faces(values, nms_threshold=0.2)
    assert best[4] == np.float32(0.9)
    assert len(faces(values, keep_top_k=1)) == 1


def test_objects_of_regions() -> None:
    op = FrcnDetection(name="y", class_num=3, obj_threshold=0.3, nms_threshold=0.5, keep_top_k=4)
    regions = np.array([[0, 10, 20, 19, 39], [0, 11, 20, 20, 39]]).reshape(1, 1, 2, 5)
    scores = [[0.9, 0.4, 0.1], [0.1, 0.5, 0.8]]
    deltas = np.zeros((2, 3, 4))
    deltas[1, 2] = [0.5, 0, log(2), 0]
    found = rows(op, deltas.reshape(2, 12), scores, regions)
    np.testing.assert_allclose(
        found, [[11, 20, 31, 40, 2, 0.8], [11, 20, 21, 40, 1, 0.5]], rtol=1e-6
    )


def test_proposals_start_from_the_best() -> None:
    op = Proposal(
        name="y", net_size=(400, 400), obj_threshold=0.5, nms_threshold=0.75, post_nms_top_n=3
    )
    scores, deltas = np.zeros((1, 18, 1, 2)), np.zeros((1, 36, 1, 2))
    scores[0, 9 + 3, 0] = [0.6, 0.7]  # ratio 1, scale 8: 128 pixels
    deltas[0, 4 * 3 + 2 : 4 * 3 + 4, 0, 0] = log(e / 2)
    found = rows(op, scores, deltas)
    np.testing.assert_allclose(found[0], [0, 0, 0, 24 + 64, 8 + 64])
    np.testing.assert_allclose(found[1], [0, 0, 0, *[8 + 64 * e / 2] * 2], rtol=1e-6)
    assert len(found) == 2


def test_pooled_regions() -> None:
    x = -np.arange(1, 17, dtype=np.float32).reshape(1, 1, 4, 4)
    op = RoiPooling(name="y", pooled=(2, 1), spatial_scale=0.5)
    found = op.evaluate(x, np.array([[0, 1, 1, 4, 4], [0, 20, 20, 30, 30]], np.float32))
    np.testing.assert_array_equal(found[0, 0], [[-6], [-10]])  # half a pixel is rounded up
    np.testing.assert_array_equal(found[1], np.zeros((1, 2, 1)))


# -- shape rules --------------------------------------------------------------------------


def infer(op: Op, *shapes: tuple[int, ...]) -> TensorType:
    graph = Graph("g")
    names = tuple(f"x{i}" for i in range(len(shapes)))
    for name, shape in zip(names, shapes, strict=True):
        graph.add(Input(name=name, type=TensorType(shape)))
    return graph.add(op.with_(inputs=names)).type


RPN = Proposal(name="y", net_size=(9, 9), obj_threshold=0, nms_threshold=0, post_nms_top_n=7)
FRCN = FrcnDetection(name="y", class_num=3, obj_threshold=0, nms_threshold=0, keep_top_k=4)
POOL = RoiPooling(name="y", pooled=(2, 3), spatial_scale=1)
FACES = RetinaFaceDetection(name="y", nms_threshold=0, confidence_threshold=0, keep_top_k=2)
FACE_MAPS = [(2, c, s, s) for s in (1, 2, 4) for c in (4, 8, 20)]


@pytest.mark.parametrize(
    ("op", "shapes", "result"),
    [
        (ssd(), [(2, 12), (2, 6), (1, 2, 12)], (2, 1, 3, 7)),
        (ssd(share_location=False), [(2, 24, 1, 1), (2, 3, 2), (1, 2, 12, 1)], (2, 1, 3, 7)),
        (yolo(), [(2, 21, 1, 2), (2, 21, 4, 4)], (2, 1, 5, 6)),
        (FACES, FACE_MAPS, (2, 1, 2, 15)),
        (FRCN, [(5, 12, 1, 1), (5, 3), (1, 1, 5, 5)], (1, 1, 4, 6)),
        (RPN, [(2, 18, 3, 4), (2, 36, 3, 4)], (2, 1, 7, 5)),
        (POOL, [(2, 8, 9, 9), (2, 1, 6, 5)], (12, 8, 2, 3)),
    ],
)
def test_shapes(op: Op, shapes: list[tuple[int, ...]], result: tuple[int, ...]) -> None:
    assert infer(op, *shapes) == TensorType(result)


@pytest.mark.parametrize(
    ("op", "shapes", "why"),
    [
        (ssd(code_type="round"), [(2, 12), (2, 6), (1, 2, 12)], "not one of corner"),
        (ssd(), [(2, 12), (2, 6), (1, 2, 13)], "prior boxes cannot be"),
        (ssd(), [(2, 24), (2, 6), (1, 2, 12)], "loc is"),
        (ssd(), [(2, 12), (2, 9), (1, 2, 12)], "conf is"),
        (ssd(keep_top_k=-1), [(2, 12), (2, 6), (1, 2, 12)], "number of rows must be positive"),
        (yolo(), [(2, 21, 1, 2)] * 3, "takes 2 operands but has 3"),
        (yolo(), [(2, 21, 1, 2), (2, 24, 4, 4)], "needs 21 channels"),
        (yolo(anchors=(1.0, 2.0)), [(2, 21, 1, 2), (2, 21, 4, 4)], "needs 12 numbers"),
        (FACES, [*FACE_MAPS[:8], (2, 10, 4, 4)], "needs maps of"),
        (FACES, [*FACE_MAPS[:6], *FACE_MAPS[3:6]], "needs maps of"),
        (FRCN, [(5, 12), (5, 3), (1, 1, 4, 5)], "deltas are"),
        (FRCN, [(6, 12), (6, 3), (2, 1, 3, 5)], "the regions of one image"),
        (RPN, [(2, 18, 3, 4), (2, 36, 4, 4)], "needs 36 channels"),
        (RPN, [(2, 18, 12), (2, 36, 12)], "maps of 4 dimensions"),
        (POOL, [(2, 8, 9, 9), (6, 4)], "regions cannot be"),
    ],
)
def test_refused(op: Op, shapes: list[tuple[int, ...]], why: str) -> None:
    with pytest.raises(ModelError, match=why):
        infer(op, *shapes)
