"""Trained models: INT8 against float on real images."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from small_nets import BareChip, int8_inputs, quantise

from cvi import plugins
from cvi.calibrate.calibrate import calibrate, float_layers
from cvi.execute import evaluate, float_session
from cvi.ir import Array, Graph
from cvi.passes import simplify
from cvi.preprocess.host import load_image
from cvi.preprocess.spec import Preprocess
from cvi_tpu.quantized.scheme import Int8Scheme

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


def load(path: Path) -> Graph:
    pytest.importorskip("onnx")
    return simplify(plugins.frontend("onnx").load(path))


def images(folder: Path, graph: Graph, count: int) -> Iterator[tuple[str, Array]]:
    pytest.importorskip("cv2")
    _, channels, h, w = graph.inputs[0].type.shape
    spec = Preprocess.from_options(
        (h, w), mean=MEAN[:channels], std=STD[:channels], channel_order="rgb", gray=channels == 1
    )
    for path in sorted(folder.glob("*.JPEG"))[:count]:
        yield path.name, load_image(path, spec).reshape(graph.inputs[0].type.shape)


def quantised(graph: Graph, folder: Path, count: int, method: str = "kld") -> Graph:
    name = graph.inputs[0].name
    session = float_session(graph, float_layers(graph), plugins.executors())
    samples = ({name: x} for _, x in images(folder, graph, count))
    return quantise(graph, calibrate(graph, samples, executor=session, method=method))


def pairs(
    graph: Graph, int8: Graph, folder: Path, count: int
) -> Iterator[tuple[str, Array, Array]]:
    """Image, float output and INT8 output."""
    session = float_session(graph, graph.outputs, plugins.executors())
    for image, x in images(folder, graph, count):
        inputs = {graph.inputs[0].name: x}
        exact = session.run(inputs)[graph.outputs[0]]
        got = evaluate(int8, int8_inputs(int8, inputs))[int8.outputs[0]]
        yield image, exact, got


def cosine(a: Array, b: Array) -> float:
    x, y = a.ravel().astype(np.float64), b.ravel().astype(np.float64)
    return float(x @ y / np.sqrt((x @ x) * (y @ y)))


@pytest.mark.parametrize("method", ["kld", "max"])
@pytest.mark.parametrize(
    ("model", "least"),
    [
        ("resnet20_cifar10/resnet20_cifar10.onnx", 0.985),
        ("mobilenet_v1_0.25_128/mobilenet_v1_0.25_128_quant_float.onnx", 0.9),
    ],
)
def test_outputs_stay_close(shared: Path, model: str, least: float, method: str) -> None:
    graph = load(shared / "models/onnx" / model)
    int8 = quantised(graph, shared / "images/imagenet_train100", 20, method)
    found = [cosine(a, b) for _, a, b in pairs(graph, int8, shared / "images/imagenet_val100", 6)]
    assert min(found) >= least


@pytest.mark.slow
def test_top_1_of_mobilenet_v2(shared: Path) -> None:
    graph = load(shared / "models/onnx/torch_mobilenet_v2/torch_mobilenet_v2_float.onnx")
    int8 = quantised(graph, shared / "images/imagenet_train100", 25)
    folder = shared / "images/imagenet_val100"
    lines = (folder / "labels.txt").read_text().splitlines()
    labels = {name: int(label) for name, label in (line.split() for line in lines)}
    results = [
        (a.argmax() == labels[name], b.argmax() == labels[name], a.argmax() == b.argmax())
        for name, a, b in pairs(graph, int8, folder, 25)
    ]
    in_float, in_int8, agree = np.mean(results, axis=0)
    assert in_float >= 0.5
    assert in_int8 >= in_float - 0.12
    assert agree >= 0.7


@pytest.mark.parametrize("model", ["nanodet_320/nanodet.onnx"])
def test_int8_can_do_all_of_these_models(shared: Path, model: str) -> None:
    assert not Int8Scheme().problems(load(shared / "models/onnx" / model), BareChip())
