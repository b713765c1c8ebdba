"""Detectors among the CPU functions, on cases computed by hand; and their speed."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from cpu_cases import Case, fp32, results
from cpu_random import normal
from cvi.errors import CviError, ModelError, RunnerError, UnsupportedError
from cvi.ir.types import Array
from cvi_tpu.model.arguments import Value


def run(
    function: str, arguments: dict[str, Value], *inputs: Array, rows: int, columns: int
) -> Array:
    (values,) = results(Case(function, arguments, inputs, [fp32(1, 1, rows, columns)]))
    return values[0, 0]


# -- SSD ----------------------------------------------------------------------------------

SSD: dict[str, Value] = {
    "num_classes": 2,
    "share_location": True,
    "background_label_id": 0,
    "code_type": "CENTER_SIZE",
    "top_k": 10,
    "nms_threshold": 0.5,
    "confidence_threshold": 0.3,
    "keep_top_k": 3,
}
BOXES = [(0.0, 0.0, 0.4, 0.4), (0.0, 0.0, 0.4, 0.3), (0.5, 0.5, 0.9, 0.9)]


def ssd(scores: list[float], shift: tuple[float, ...] = (0, 0, 0, 0), **change: Value) -> Array:
    """Three prior boxes, of which the first two overlap by 0.75; scores of class 1."""
    prior = np.array([BOXES, [(0.1, 0.1, 0.2, 0.2)] * 3], np.float32).reshape(1, 2, 12, 1)
    confidence = np.array([[1 - s, s] for s in scores], np.float32).reshape(1, 6, 1, 1)
    location = np.tile(np.array(shift, np.float32), 3).reshape(1, 12, 1, 1)
    return run("detectionoutput", SSD | change, location, confidence, prior, rows=3, columns=7)


def test_the_weaker_of_two_overlapping_boxes_goes() -> None:
    got = ssd([0.5, 0.9, 0.4])
    np.testing.assert_allclose(got[:, :3], [[0, 1, 0.9], [0, 1, 0.4], [-1, -1, -1]], rtol=1e-6)
    np.testing.assert_allclose(got[:2, 3:], [BOXES[1], BOXES[2]], atol=1e-7)
    assert (ssd([0.5, 0.9, 0.4], nms_threshold=0.8)[:, 2] > 0).all()


def test_boxes_are_decoded_with_variances() -> None:
    got = ssd([0, 0, 0.9], (1.0, 0.0, 0.0, 5 * np.log(2)))
    # a tenth of the width to the right, twice as high
    np.testing.assert_allclose(got[0, 3:], [0.54, 0.3, 0.94, 1.1], rtol=1e-6)


def test_limits_of_the_number_of_boxes() -> None:
    assert np.count_nonzero(ssd([0.5, 0.6, 0.7], keep_top_k=1)[:, 2] > 0) == 1
    np.testing.assert_allclose(ssd([0.5, 0.6, 0.7], top_k=1)[0, 2], 0.7)
    assert ssd([0.5, 0.6, 0.7], top_k=1)[1, 0] == -1


def test_without_detections_rows_are_numbered() -> None:
    np.testing.assert_array_equal(ssd([0, 0, 0])[:, 0], [0, -1, -1])
    assert ssd([0.9, 0.9, 0.9], background_label_id=-1)[0, 1] == -1  # the shared location


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"code_type": "CORNER"}, UnsupportedError, "only CENTER_SIZE"),
        ({"top_k": -1}, ModelError, "'top_k' is -1"),
        ({"num_classes": 3}, ModelError, "need 9 values"),
        ({"num_classes": 0}, ModelError, "'num_classes' is 0"),
        ({"keep_top_k": 9}, ModelError, "no room for 9 rows"),
        ({"share_location": 1}, ModelError, "'share_location' as bool"),
    ],
)
def test_detectionoutput_refuses(
    change: dict[str, Value], error: type[CviError], message: str
) -> None:
    with pytest.raises(error, match=message):
        ssd([0.5, 0.5, 0.5], **change)


# -- YOLO ---------------------------------------------------------------------------------

YOLO: dict[str, Value] = {
    "net_input_h": 64,
    "net_input_w": 64,
    "nms_threshold": 0.5,
    "obj_threshold": 0.4,
    "keep_topk": 4,
    "class_num": 2,
    "tiny": True,
    "anchors": "32,16,8,8,8,8,16,32,8,8,8,8",
}


def yolo(cells: dict[tuple[int, ...], tuple[float, ...]], **change: Value) -> Array:
    """cells: (map, anchor, row, column) -> x, y, w, h, objectness, two classes."""
    maps = [np.full((1, 3, 7, n, n), -20, np.float32) for n in (4, 2)]
    for (index, anchor, row, column), values in cells.items():
        maps[index][0, anchor, :, row, column] = values
    inputs = [m.reshape(1, 21, *m.shape[3:]) for m in maps]
    return run("yolo_detection", YOLO | change, *reversed(inputs), rows=4, columns=6)


def test_a_box_of_yolo() -> None:
    got = yolo({(0, 0, 1, 2): (0, 0, 0, np.log(2), 20, 20, 0)})
    # centre of cell (1, 2) of 4 x 4; anchor 32 x 16 of 64, twice as high
    np.testing.assert_allclose(got[0], [2.5 / 4, 1.5 / 4, 0.5, 0.5, 0, 1], rtol=1e-6)
    assert not got[1:].any()


def test_boxes_of_yolo_are_suppressed_within_a_class() -> None:
    strong, weak = (0, 0, 0, 0, 9, 20, 0), (0, 0, 0, 0, 1, 20, 0)
    other = (0, 0, 0, 0, 1, 0, 20)
    twins = {"anchors": "32,16,32,16,8,8,16,32,8,8,8,8"}
    assert np.count_nonzero(yolo({(0, 0, 0, 0): weak, (0, 1, 0, 0): strong}, **twins)[:, 5]) == 1
    assert yolo({(0, 0, 0, 0): weak, (0, 1, 0, 0): strong}, **twins)[0, 5] > 0.99
    assert np.count_nonzero(yolo({(0, 0, 0, 0): other, (0, 1, 0, 0): strong}, **twins)[:, 5]) == 2


def test_boxes_of_yolo_are_not_sorted_by_score() -> None:
    weak, strong = (0, 0, 0, 0, 1, 20, 0), (0, 0, 0, 0, 9, 20, 0)
    got = yolo({(0, 0, 0, 0): weak, (1, 0, 1, 1): strong}, keep_topk=1)
    assert 0.7 < got[0, 5] < 0.8


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"anchors": "1,2,3"}, "'anchors' has 3 numbers for 2 maps"),
        ({"anchors": "a,b"}, "'anchors' is no list of numbers"),
        ({"class_num": 80}, "'class_num' is 80"),
        ({"class_num": -1}, "'class_num' is -1"),
        ({"tiny": False}, "'anchors' has 12 numbers for 3 maps"),
        ({"net_input_w": 0}, "'net_input_w' is 0"),
    ],
)
def test_yolo_refuses(change: dict[str, Value], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        yolo({}, **change)


def test_identical_boxes_abort_as_in_the_runtime_when_their_overlap_is_no_number() -> None:
    empty = (0, 0, -200, -200, 9, 20, 0)  # exp gives sizes of 0: the overlap is 0 / 0
    with pytest.raises(RunnerError, match="by NaN"):
        yolo({(0, 0, 0, 0): empty, (0, 1, 0, 0): empty})


# -- Faster R-CNN -------------------------------------------------------------------------


def frcn(regions: list[tuple[int, ...]], scores: list[float], **change: Any) -> Array:
    """Regions as corners; scores of class 1 of 2."""
    n = len(regions)
    table = np.array([[0, *r] for r in regions], np.float32).reshape(1, 1, n, 5)
    confidence = np.array([[1 - s, s] for s in scores], np.float32).reshape(n, 2, 1, 1)
    arguments = {"nms_threshold": 0.5, "obj_threshold": 0.3, "keep_topk": 2, "class_num": 2}
    deltas = np.zeros((n, 8, 1, 1), np.float32)
    inputs = (table, confidence, deltas)
    return run("frcn_detection", arguments | change, *inputs, rows=2, columns=6)


def test_frcn_detection() -> None:
    got = frcn([(0, 0, 9, 9), (0, 0, 9, 8), (40, 40, 49, 49)], [0.6, 0.9, 0.4])
    np.testing.assert_allclose(got[:, 5], [0.9, 0.4], rtol=1e-6)
    np.testing.assert_array_equal(got[:, :5], [[0, 0, 10, 9, 1], [40, 40, 50, 50, 1]])


def test_frcn_detection_has_room_for_one_box_per_region() -> None:
    with pytest.raises(RunnerError, match="2 boxes of 1 regions"):
        regions = np.array([0, 0, 0, 9, 9], np.float32).reshape(1, 1, 1, 5)
        scores = np.array([0, 0.5, 0.5], np.float32).reshape(1, 3, 1, 1)
        arguments: dict[str, Value] = {"nms_threshold": 0.5, "obj_threshold": 0.3}
        arguments |= {"keep_topk": 2, "class_num": 3}
        deltas = np.zeros((1, 12, 1, 1), np.float32)
        run("frcn_detection", arguments, regions, scores, deltas, rows=2, columns=6)


ROI: dict[str, Value] = {"pooled_h": 2, "pooled_w": 1, "spatial_scale": 0.5}


def pool(corners: tuple[float, ...], **change: Value) -> list[float]:
    """Maxima of an image whose rows are 1, 2, 3, -4."""
    image = np.repeat(np.array([1, 2, 3, -4], np.float32), 3).reshape(1, 1, 4, 3)
    region = np.array([0, *corners], np.float32).reshape(1, 1, 1, 5)
    case = Case("roi_pooling", ROI | change, [image, region], [fp32(1, 1, 2, 1)])
    values: list[float] = results(case)[0].ravel().tolist()
    return values


def test_roi_pooling() -> None:
    assert pool((0, 0, 4, 2)) == [1, 2]  # rows 0 to 1
    assert pool((0, 0, 4, 6)) == [2, 3]  # rows 0 to 3
    assert pool((0, 4, 4, 6)) == [3, 0]  # -4 never wins against 0
    assert pool((90, 90, 99, 99)) == [0, 0]
    assert pool((0, 1, 4, 1)) == [2, 2]  # 0.5 is rounded to 1; a bin is at least a pixel
    with pytest.raises(RunnerError, match="no finite place"):
        pool((0, 0, float("inf"), 0))
    with pytest.raises(ModelError, match="writes 3 values"):
        pool((0, 0, 4, 2), pooled_h=3)


def test_proposals_are_clipped_anchors() -> None:
    scores = np.zeros((1, 18, 1, 1), np.float32)
    scores[0, 9 + 3] = 0.9  # ratio 1, scale 8: 128 pixels about 7.5
    arguments: dict[str, Value] = {
        "feat_stride": 16,
        "anchor_base_size": 16,
        "net_input_h": 60,
        "net_input_w": 300,
        "rpn_obj_threshold": 0.5,
        "rpn_nms_threshold": 0.7,
        "rpn_nms_post_top_n": 2,
    }
    deltas = np.zeros((1, 36, 1, 1), np.float32)
    got = run("proposal", arguments, deltas, scores, rows=2, columns=5)
    np.testing.assert_array_equal(got, [[0, 0, 0, 71.5, 59], [0, 0, 0, 0, 0]])
    with pytest.raises(RunnerError, match="lower rpn_obj_threshold"):
        run("proposal", arguments | {"rpn_obj_threshold": 0.95}, deltas, scores, rows=2, columns=5)


# -- RetinaFace ---------------------------------------------------------------------------


def retinaface(scores: dict[tuple[int, ...], float], **change: Value) -> Array:
    """scores: (map, anchor, row, column) -> score, maps of stride 32, 16 and 8."""
    inputs = []
    for index, size in enumerate((1, 2, 4)):
        score = np.zeros((1, 4, size, size), np.float32)
        for (where, anchor, row, column), value in scores.items():
            if where == index:
                score[0, 2 + anchor, row, column] = value
        inputs += [score, np.zeros((1, 8, size, size)), np.zeros((1, 20, size, size))]
    arguments: dict[str, Value] = {"nms_threshold": 0.9, "confidence_threshold": 0.5}
    arguments |= {"keep_topk": 3, **change}
    return run(
        "retinaface_detection",
        arguments,
        *(x.astype(np.float32) for x in inputs),
        rows=3,
        columns=15,
    )


def test_a_face_is_its_anchor() -> None:
    got = retinaface({(2, 1, 1, 2): 0.75})
    # stride 8, scale 1: 18 pixels about 8.5
    assert got[0].tolist() == [16, 8, 33, 25, 0.75, *[24.5, 16.5] * 5]
    assert not got[1:].any()


def test_a_face_is_compared_with_the_wrong_one() -> None:
    """The second is marked by itself: its overlap with itself is 1 when areas are equal."""
    faces = {(2, 1, 0, 0): 0.9, (2, 1, 3, 3): 0.8, (2, 1, 0, 3): 0.7}
    np.testing.assert_allclose(retinaface(faces)[:, 4], [0.9, 0.7, 0], rtol=1e-6)
    kept = retinaface(faces, nms_threshold=1.0)[:, 4]
    np.testing.assert_allclose(kept, [0.9, 0.8, 0.7], rtol=1e-6)


# -- speed --------------------------------------------------------------------------------


def test_detectors_are_quick() -> None:
    """Some 20 ms each on an idle machine; the bound is for a busy one."""
    rng = np.random.default_rng(0)
    maps = [normal(rng, 1, 255, n, n) - np.float32(4) for n in (13, 26, 52)]
    arguments: dict[str, Value] = {"net_input_h": 416, "net_input_w": 416, "keep_topk": 200}
    arguments |= {"nms_threshold": 0.5, "obj_threshold": 0.5}
    start = time.process_time()
    results(Case("yolo_detection", arguments, maps, [fp32(1, 1, 200, 6)]))
    corner = rng.random((8732, 2))
    boxes = np.concatenate([corner, corner + 0.1 + 0.2 * rng.random((8732, 2))], axis=1)
    prior = np.stack([boxes, np.full((8732, 4), 0.1)]).astype(np.float32)
    inputs = [
        normal(rng, 1, 8732 * 4, 1, 1),
        rng.random((1, 8732 * 21, 1, 1)).astype(np.float32),
        prior.reshape(1, 2, -1, 1),
    ]
    more = SSD | {"num_classes": 21, "confidence_threshold": 0.95, "top_k": 400, "keep_top_k": 200}
    results(Case("detectionoutput", more, inputs, [fp32(1, 1, 200, 7)]))
    assert time.process_time() - start < 0.6
