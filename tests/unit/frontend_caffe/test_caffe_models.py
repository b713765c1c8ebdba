"""Real networks: every layer of the simplified graph against OpenCV."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from caffe_nets import numbers

from cvi import plugins
from cvi.errors import ModelError, UnsupportedError
from cvi.execute import run_float
from cvi.passes import simplify
from cvi_frontend_caffe.frontend import CaffeFrontend

MODELS = {
    "cifar10_quick": (11, 0),
    "espcn_3x": (5, 0),
    "fsrcnn": (15, 0),
    "lenet": (7, 0),
    "mobilenet_v1_0.25_128": (30, 0),
    "mobilefacenet": (90, 0),
    "mobilenetv2_yolov3_nano_voc_upsample": (70, 1),
    "opencv_face_ssd": (70, 0),
    "retinaface_mnet25": (70, 0),
    "squeezenet_v1.1": (39, 0),
    "ultraface_rfb320": (70, 0),
    "yolo_fastest_1.1_coco": (160, 0),
}
"""Folder -> how many layers are compared at least, and how many OpenCV cannot show."""


def agreement(path: Path, weights: Path | None, frontend: CaffeFrontend) -> tuple[int, int, float]:
    """Layers compared, layers that OpenCV cannot show, and the worst cosine."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph = simplify(frontend.load(path, weights=weights, batch=1))
    inputs = {op.source: numbers(*op.type.shape) for op in graph.inputs}
    given = {op.name: inputs[op.source] for op in graph.inputs}
    shown = frontend.reference(path, inputs, weights=weights)
    layers = [op for op in graph.ops if op.source in shown and not op.incomparable]
    ours = run_float(graph, given, [op.name for op in layers], plugins.executors())
    worst = 1.0
    for op in layers:
        a, b = (x.ravel().astype(np.float64) for x in (ours[op.name], shown[op.source]))
        worst = min(worst, float(a @ b / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-30)))
    return len(layers), len(shown.missing), worst


@pytest.mark.parametrize("folder", MODELS)
def test_real_models_agree_with_opencv(folder: str, shared: Path) -> None:
    (net,) = (shared / "models/caffe" / folder).glob("*.prototxt")
    (weights,) = net.parent.glob("*.caffemodel")
    compared, missing, worst = agreement(net, weights, CaffeFrontend())
    assert (compared >= MODELS[folder][0], missing) == (True, MODELS[folder][1])
    assert worst >= 0.99999


@pytest.mark.parametrize("part", [1, 2, 3])
def test_face_cascade_agrees_with_opencv(part: int, shared: Path) -> None:
    net = shared / f"models/caffe/mtcnn/det{part}.prototxt"
    compared, missing, worst = agreement(net, net.with_suffix(".caffemodel"), CaffeFrontend())
    assert compared > 9 and missing == 0 and worst >= 0.99999


@pytest.mark.parametrize(
    "name", ["shufflenet_v2_x0.5", "mobilenet_v1_0.25", "mobilenet_v3_small_0.75", "lenet"]
)
def test_architectures_agree_with_opencv(name: str, shared: Path) -> None:
    compared, _, worst = agreement(shared / f"prototxt/{name}.prototxt", None, CaffeFrontend(1))
    assert compared > 6 and worst >= 0.9999


REFUSED = {
    "faster_rcnn_vgg16": "rpn.proposal_layer.ProposalLayer",
    "yolo_v2_coco": "yolov2.darknet_reorg",
    "yolo_v3_tiny": "cannot join",
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_file_tells_is_refused(name: str, shared: Path) -> None:
    with pytest.raises((UnsupportedError, ModelError)) as caught:
        CaffeFrontend(1).load(shared / f"prototxt/{name}.prototxt")
    assert REFUSED[name] in str(caught.value)


@pytest.mark.slow
def test_squeezenet_finds_the_classes_that_opencv_finds(shared: Path) -> None:
    """Top-1 of 20 photographs, each run by both."""
    import cv2

    from cvi_frontend_caffe.opencv import run_network

    folder = shared / "models/caffe/squeezenet_v1.1"
    net, weights = folder / "deploy.prototxt", folder / "squeezenet_v1.1.caffemodel"
    graph = simplify(CaffeFrontend().load(net, weights=weights, batch=1))
    for path in sorted((shared / "images/imagenet_val500").glob("*.*"))[:20]:
        if path.suffix == ".txt":
            continue
        pixels = cv2.imread(str(path)).astype(np.float32) - np.float32([104, 117, 123])
        x = pixels.transpose(2, 0, 1)[None]
        (name,) = graph.outputs
        ours = run_float(graph, {"data": x}, [name], plugins.executors())[name]
        theirs = run_network(
            net.read_bytes(), weights.read_bytes(), {"data": x}, {"prob": ["prob"]}
        )["prob"][0]
        assert ours.argmax() == theirs.argmax(), path.name
