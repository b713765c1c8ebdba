"""Detection layers: all their parameters arrive, and an SSD finds what OpenCV finds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from caffe_nets import Made, inputs_text, layer_text, loaded

from cvi import ops, plugins
from cvi.execute import run_float
from cvi.ir import Op
from cvi_frontend_caffe.frontend import CaffeFrontend
from cvi_frontend_caffe.opencv import run_network

YOLO = {"a": (1, 27, 2, 2), "b": (1, 27, 4, 4), "c": (1, 27, 8, 8)}
FACES = {
    f"{kind}{size}": (1, channels, size, size)
    for size in (2, 4, 8)
    for kind, channels in (("score", 4), ("box", 8), ("mark", 20))
}
CASES: dict[str, tuple[dict[str, tuple[int, ...]], str, Op]] = {
    "YoloDetection": (
        YOLO,
        "yolo_detection_param { net_input_h: 64 net_input_w: 96 nms_threshold: 0.5 "
        "obj_threshold: 0.25 keep_topk: 7 class_num: 4 yolo_v4: true "
        'anchors: "1,2,3,4,5,6, 7,8,9,10,11,12,13,14,15,16,17,18.5" }',
        ops.YoloDetection(
            name="layer", net_size=(64, 96), classes=4, nms_threshold=0.5, obj_threshold=0.25,
            keep_top_k=7, yolo_v4=True, anchors=(*map(float, range(1, 18)), 18.5),
        ),
    ),
    "RetinaFaceDetection": (
        FACES,
        "retinaface_detection_param { nms_threshold: 0.5 confidence_threshold: 0.75 keep_topk: 9 }",
        ops.RetinaFaceDetection(
            name="layer", nms_threshold=0.5, confidence_threshold=0.75, keep_top_k=9
        ),
    ),
    "FrcnDetection": (
        {"deltas": (5, 8), "scores": (5, 2), "rois": (1, 1, 5, 5)},
        "frcn_detection_param { class_num: 2 obj_threshold: 0.5 nms_threshold: 0.25 keep_topk: 3 }",
        ops.FrcnDetection(
            name="layer", class_num=2, obj_threshold=0.5, nms_threshold=0.25, keep_top_k=3
        ),
    ),
    "Proposal": (
        {"scores": (1, 18, 4, 6), "deltas": (1, 36, 4, 6)},
        "proposal_param { net_input_h: 64 net_input_w: 96 feat_stride: 8 anchor_base_size: 12 "
        "rpn_obj_threshold: 0.5 rpn_nms_threshold: 0.25 rpn_nms_post_top_n: 11 }",
        ops.Proposal(
            name="layer", feat_stride=8, anchor_base_size=12, net_size=(64, 96),
            obj_threshold=0.5, nms_threshold=0.25, post_nms_top_n=11,
        ),
    ),
    "DetectionOutput": (
        {"loc": (1, 12), "conf": (1, 9), "priors": (1, 2, 12)},
        "detection_output_param { num_classes: 3 background_label_id: 1 code_type: CORNER "
        "keep_top_k: 6 confidence_threshold: 0.5 nms_param { nms_threshold: 0.25 top_k: 4 } }",
        ops.DetectionOutput(
            name="layer", num_classes=3, background_label=1, code_type="corner", top_k=4,
            keep_top_k=6, nms_threshold=0.25, confidence_threshold=0.5,
        ),
    ),
    "ROIPooling": (
        {"x": (1, 3, 8, 8), "rois": (4, 5)},
        "roi_pooling_param { pooled_size: 2 pooled_size: 3 spatial_scale: 0.125 }",
        ops.RoiPooling(name="layer", pooled=(2, 3), spatial_scale=0.125),
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", CASES)
def test_all_parameters_arrive(kind: str, made: Made) -> None:
    shapes, params, expected = CASES[kind]
    net, _ = made(inputs_text(shapes) + layer_text(kind, params, bottoms=list(shapes)))
    op = loaded(net)["layer"]
    assert op.attributes() == expected.attributes() and op.inputs == tuple(shapes)


def test_a_face_detector_finds_the_faces_that_opencv_finds(shared: Path) -> None:
    import cv2

    folder = shared / "models/caffe/opencv_face_ssd"
    net, weights = folder / "deploy.prototxt", folder / "res10_ssd_dequant.caffemodel"
    pixels = cv2.resize(cv2.imread(str(shared / "images/samples/parade.jpg")), (600, 600))
    x = (pixels.astype(np.float32) - np.float32([104, 177, 123])).transpose(2, 0, 1)[None]
    graph = CaffeFrontend().load(net, weights=weights, input_shapes={"data": x.shape})
    (name,) = graph.outputs
    ours = run_float(graph, {"data": x}, [name], plugins.executors())[name].reshape(-1, 7)
    theirs = run_network(
        net.read_bytes(), weights.read_bytes(), {"data": x}, {name: [name]}
    )[name][0].reshape(-1, 7)  # fmt: skip
    sure = [rows[rows[:, 2] > 0.3] for rows in (ours, theirs)]
    assert len(sure[0]) == len(sure[1]) >= 3
    assert np.allclose(sure[0], sure[1], atol=1e-4)
