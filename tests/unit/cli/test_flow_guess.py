"""Guesses of the preprocessing."""

from __future__ import annotations

import numpy as np
import pytest

from cvi.flow.guess import guess
from cvi.ir import Graph, Input, TensorType
from cvi.ops import Add, BatchNorm, Div, FullyConnected, Mul, Reduce, Relu, Reshape, Sub
from cvi.preprocess.presets import preset


def network(*shape: int, name: str = "x", layout: str = "", dtype: str = "") -> Graph:
    graph = Graph("net")
    graph.add(Input(name=name, type=TensorType(shape), file_layout=layout, file_dtype=dtype))
    return graph


def close(graph: Graph, last: str, classes: int = 10) -> Graph:
    graph.add(Reduce(name="pool", inputs=(last,), method="mean", axes=(2, 3), keepdims=False))
    weight = graph.constant("w", np.ones((classes, graph.type_of("pool").shape[1]), np.float32))
    graph.add(FullyConnected(name="y", inputs=("pool", weight, "")))
    graph.outputs = ("y",)
    return graph


def with_arithmetic(*ops: tuple[type, object]) -> Graph:
    graph, last = network(1, 3, 50, 60), "x"
    for i, (kind, values) in enumerate(ops):
        array = np.asarray(values, np.float32)
        constant = graph.constant("k", array.reshape(-1, 1, 1) if array.ndim else array)
        last = graph.add(kind(name=f"op{i}", inputs=(last, constant))).name
    return close(graph, last)


def asked(graph: Graph) -> tuple[str, str]:
    found = guess(graph, graph.inputs[0])
    assert found is not None
    words = found.options.split()
    assert words[0] == "--preset"
    preset(words[1])  # exists
    assert found.why and str(found).startswith(f"{found.options} ({found.trust}: ")
    return found.options.removeprefix("--preset "), found.trust


MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


@pytest.mark.parametrize(
    ("ops", "options", "trust"),
    [
        ([(Sub, MEAN), (Div, STD)], "zero-one", "almost sure"),
        ([(Add, [-m for m in MEAN])], "zero-one", "almost sure"),
        ([(Sub, MEAN[::-1])], "zero-one --channel-order bgr", "almost sure"),
        ([(Sub, [123.7, 116.3, 103.5]), (Mul, 0.017)], "zero-255", "almost sure"),
        ([(Sub, [103.9, 116.8, 123.7])], "none", "almost sure"),
        ([(Div, 255.0), (Sub, MEAN)], "zero-255", "probable"),
        ([(Mul, 1 / 127.5), (Sub, 1.0)], "zero-255", "probable"),
        ([(Sub, [127.5]), (Div, [127.5])], "zero-255", "probable"),
        ([(Mul, [2.0, 3.0, 4.0])], "zero-255 or none", "probable"),
    ],
)
def test_a_network_that_normalises_itself(
    ops: list[tuple[type, object]], options: str, trust: str
) -> None:
    assert asked(with_arithmetic(*ops)) == (options, trust)


def test_a_batch_norm_of_pixels() -> None:
    graph = network(1, 3, 50, 60)
    one = np.ones(3, np.float32)
    names = [graph.constant("k", a) for a in (one, one, one * [124, 117, 104], one)]
    graph.constants[names[2]] = graph.constants[names[2]].astype(np.float32)
    graph.add(BatchNorm(name="bn", inputs=("x", *names)))
    assert asked(close(graph, "bn")) == ("zero-255", "almost sure")


@pytest.mark.parametrize(
    ("graph", "classes", "options", "trust"),
    [
        (network(1, 3, 50, 60, dtype="uint8"), 10, "zero-255", "probable"),
        (network(1, 3, 640, 640, name="images"), 10, "yolo", "probable"),
        (network(1, 3, 224, 224, layout="NHWC"), 10, "tf-minus1-1", "a guess"),
        (network(1, 3, 224, 224), 1000, "imagenet-torch", "a guess"),
        (network(1, 3, 299, 299), 1001, "tf-minus1-1", "a guess"),
        (network(1, 1, 28, 28), 10, "zero-one --gray", "a guess"),
    ],
)
def test_signs(graph: Graph, classes: int, options: str, trust: str) -> None:
    graph.add(Relu(name="r", inputs=(graph.inputs[0].name,)))
    assert asked(close(graph, "r", classes)) == (options, trust)


def test_outputs_of_a_yolo() -> None:
    graph = network(1, 3, 416, 416)
    weight = graph.constant("w", np.ones((255, 416), np.float32))
    graph.add(FullyConnected(name="f", inputs=("x", weight, "")))
    graph.add(Reshape(name="y", inputs=("f",), shape=(3, 255, 416)))
    graph.outputs = ("y",)
    assert asked(graph) == ("yolo", "a guess")


def test_nothing_tells() -> None:
    graph = network(1, 3, 50, 60)
    graph.add(Relu(name="r", inputs=("x",)))
    assert guess(close(graph, "r"), graph.inputs[0]) is None
