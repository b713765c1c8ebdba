"""Ending an ONNX model before what cannot be imported, and the file of the rest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx_models import Build, node

from cvi.errors import UnsupportedError
from cvi.execute import evaluate
from cvi_frontend_onnx.frontend import OnnxFrontend

FRONTEND = OnnxFrontend()
RNG = np.random.default_rng(2)
CONSTANTS = {"w": RNG.normal(size=(4, 3, 3, 3)).astype(np.float32), "k": np.float32([0.5])}

NODES = [
    node("Conv", ["x", "w"], ["c"]),
    node("Relu", ["c"], ["r"]),
    node("Mul", ["r", "k"], ["m"]),
    node("NonZero", ["m"], ["z"]),
    node("Sigmoid", ["r"], ["s"]),
    node("Shape", ["x"], ["n"]),
    node("Gather", ["n", "first"], ["n0"]),
    node("Unsqueeze", ["n0", "axis"], ["n1"]),
    node("Concat", ["n1", "rest"], ["shape"], axis=0),
    node("Reshape", ["s", "shape"], ["y"]),
]
SHAPES = {"first": np.array(0), "axis": np.array([0]), "rest": np.array([-1])}


def model(build: Build) -> Path:
    return build(NODES, {"x": (1, 3, 6, 6)}, ["z", "y"], CONSTANTS | SHAPES)


def test_the_error_names_the_last_tensors_before(build: Build) -> None:
    with pytest.raises(UnsupportedError) as caught:
        FRONTEND.load(model(build))
    assert caught.value.outputs == ("m", "y")
    assert "--outputs m,y" in caught.value.fix
    assert FRONTEND.load(model(build), outputs=caught.value.outputs).outputs == (
        "m_Mul", "y_Reshape",
    )  # fmt: skip


@pytest.mark.parametrize("cut", [["m", "y"], ["m", "s"], ["r"]])
def test_both_parts_together_are_the_model(build: Build, tmp_path: Path, cut: list[str]) -> None:
    path, target = model(build), tmp_path / "tail.onnx"
    graph = FRONTEND.load(path, outputs=cut)
    shapes = {graph[name].source: graph[name].type.shape for name in graph.outputs}
    assert FRONTEND.tail(path, target, shapes)
    x = RNG.normal(size=(1, 3, 6, 6)).astype(np.float32)
    values = evaluate(graph, {"x": x})
    given = {graph[name].source: values[name] for name in graph.outputs} | {"x": x}
    tail = onnx.load(str(target))
    feeds = {i.name: given[i.name] for i in tail.graph.input}
    outputs = [o.name for o in tail.graph.output]
    assert outputs == [name for name in ("z", "y") if name not in cut]
    found = FRONTEND.reference(target, feeds, tensors=outputs)
    want = FRONTEND.reference(path, {"x": x}, tensors=outputs)
    for name in outputs:
        np.testing.assert_allclose(found[name], want[name], rtol=1e-5, atol=1e-6)


def test_nothing_is_left_behind_the_outputs(build: Build, tmp_path: Path) -> None:
    path = build(NODES[:2], {"x": (1, 3, 6, 6)}, ["r"], CONSTANTS)
    assert not FRONTEND.tail(path, tmp_path / "tail.onnx", {"r": (1, 4, 4, 4)})
    assert not (tmp_path / "tail.onnx").exists()
