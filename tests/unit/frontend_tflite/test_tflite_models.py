"""Real trained networks: every layer against the interpreter, order of dimensions, INT8."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from cvi import plugins
from cvi.execute import evaluate
from cvi.flow.stepwise import stepwise_values
from cvi.ir import Array, Graph
from cvi.ops import Permute
from cvi.passes import simplify
from cvi_frontend_tflite.frontend import TfliteFrontend

FRONTEND = TfliteFrontend()

MODELS = {
    "cifar_resnet/pretrainedResnet": 17,
    "cifar_resnet/pretrainedResnet_quant": 17,
    "deeplabv3_dm05/deeplabv3_mnv2_dm05_pascal_quant": 71,
    "kws/kws_ref_model": 14,
    "kws/kws_ref_model_float32": 14,
    "mobilenet_v1_0.25_128_quant/mobilenet_v1_0.25_128_quant": 32,
    "mobilenet_v2_1.0_224_quant/mobilenet_v2_1.0_224_quant": 67,
    "person_detect/person_detect": 32,
    "tf2_mobilenet_v2_ptq/tf2_mobilenet_v2_1.0_224_ptq": 67,
    "ultraface_rfb320/version-RFB-320_without_postprocessing": 66,
    "vww_96/vww_96_float": 32,
    "vww_96/vww_96_int8": 32,
}
"""File below `shared/models/tflite` -> layers that equal a tensor of the model."""

HEADS = {"ultraface_rfb320/version-RFB-320_without_postprocessing": 8}
"""Permutes that move data: boxes and scores of a detector, of four sizes each."""


def picture(shared: Path, graph: Graph) -> dict[str, Array]:
    """A photograph in the range of the network's input."""
    (op,) = graph.inputs
    _, c, h, w = op.type.shape
    own = graph.thresholds.get(op.name)
    low, high = (own.min, own.max) if own else (-1.0, 1.0)
    image = cv2.imread(str(shared / "images/samples/cat.jpg"))
    pixels = cv2.resize(image, (w, h)).astype(np.float32).transpose(2, 0, 1)[None, :c]
    return {op.name: np.float32(low) + pixels * np.float32((high - low) / 255)}


@pytest.mark.parametrize("name", MODELS)
def test_every_layer_agrees_with_the_interpreter(in_process: None, shared: Path, name: str) -> None:
    """Float models to 0.99999; integer models, layer by layer, to one step of the grid."""
    path = shared / "models/tflite" / f"{name}.tflite"
    graph = simplify(FRONTEND.load(path))
    inputs = picture(shared, graph)
    shown = FRONTEND.reference(path, {op.source: inputs[op.name] for op in graph.inputs})
    reference = {op.name: shown[op.source] for op in graph.ops if op.source in shown}
    assert len(reference) == MODELS[name]
    integers = bool(graph.thresholds)
    values = (
        stepwise_values(graph, inputs, reference)
        if integers
        else evaluate(graph, inputs, keep=True)
    )
    for layer, expected in reference.items():
        assert cosine(values[layer], expected) > (0.9995 if integers else 0.99999), layer
        own = graph.thresholds.get(layer)
        if own is not None:
            difference = np.abs(values[layer] - expected).max()
            assert difference <= 1.001 * (own.max - own.min) / 255, layer
    permutes = [op.name for op in graph.ops if isinstance(op, Permute)]
    assert len(permutes) == HEADS.get(name, 0)
    chip = plugins.chip("cv183x")
    assert not plugins.scheme("int8").problems(graph, chip)


def cosine(a: Array, b: Array) -> float:
    x, y = a.astype(np.float64).ravel(), b.astype(np.float64).ravel()
    length = float(np.linalg.norm(x) * np.linalg.norm(y))
    return float(x @ y) / length if length else 1.0


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("mobilenet_v1_0.25_128_quant/mobilenet_v1_0.25_128_quant", 128),
        ("tf2_mobilenet_v2_ptq/tf2_mobilenet_v2_1.0_224_ptq", 224),
    ],
)
def test_kept_scales_classify(shared: Path, name: str, size: int) -> None:
    """INT8 with the model's own scales, on the quantised graph: most of 10 images right."""
    from cvi.calibrate.table import CalibrationTable
    from cvi.flow.real import quantised_inputs
    from cvi.precision import PrecisionPlan

    graph = simplify(FRONTEND.load(shared / "models/tflite" / f"{name}.tflite"))
    quantised = plugins.scheme("int8").quantize(
        graph, CalibrationTable(graph.thresholds), PrecisionPlan(), plugins.chip("cv183x"),
        inputs_type="int8", outputs_type="fp32",
    )  # fmt: skip
    folder = shared / "images/imagenet_val500"
    lines = (folder / "labels.txt").read_text().splitlines()[::50]
    hits = 0
    for file, label in (line.split() for line in lines):
        pixels = cv2.resize(cv2.imread(str(folder / file)), (size, size))[:, :, ::-1]
        x = pixels.transpose(2, 0, 1)[None].astype(np.float32) / 127.5 - 1
        fed = quantised_inputs(quantised, {quantised.inputs[0].name: np.ascontiguousarray(x)})
        (scores,) = evaluate(quantised, fed).values()
        hits += int(scores.argmax()) == int(label) + 1
    assert len(lines) == 10
    assert hits >= 5
