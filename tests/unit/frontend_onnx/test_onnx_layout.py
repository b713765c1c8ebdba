"""Networks that take NHWC and transpose it first are imported as NCHW."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx_models import Build, node

import cvi
from cvi.compare import Tolerance
from cvi.execute import evaluate
from cvi.flow.images import ImageOptions
from cvi.ir import Graph
from cvi_frontend_onnx.frontend import OnnxFrontend

FRONTEND = OnnxFrontend()
RNG = np.random.default_rng(5)

WEIGHT = RNG.normal(size=(4, 3, 3, 3)).astype(np.float32)
MEAN = np.array([120.0, 110.0, 100.0], np.float32)
SCALE = np.array([0.02, 0.03, 0.01], np.float32).reshape(1, 1, 1, 3)
CONSTANTS = {"w": WEIGHT, "mean": MEAN, "scale": SCALE, "k": np.array(2, np.float32)}

TURN = node("Transpose", ["t"], ["c"], perm=[0, 3, 1, 2])
CONV = node("Conv", ["c", "w"], ["y"])
ARITHMETIC = [
    node("Cast", ["x"], ["f"], to=1),
    node("Sub", ["f", "mean"], ["s"]),
    node("Mul", ["scale", "s"], ["m"]),
    node("Div", ["m", "k"], ["t"]),
]


def rename(name: str) -> onnx.NodeProto:
    return node("Identity", ["x"], [name])


def compared(path: Path, graph: Graph) -> None:
    """Compare all layers that onnxruntime can show."""
    feeds = {op.name: RNG.integers(0, 255, op.type.shape).astype(np.float32) for op in graph.inputs}
    values = evaluate(graph, feeds, keep=True)
    sources = {op.name: op.source for op in graph if op.source}
    shown = FRONTEND.reference(path, feeds, tensors=list(sources.values()))
    for name, source in sources.items():
        np.testing.assert_allclose(values[name], shown[source], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("channels", [3, "C"])
def test_a_leading_transpose_is_absorbed(build: Build, channels: int | str) -> None:
    path = build([rename("t"), TURN, CONV], {"x": (1, 6, 5, channels)}, ["y"], CONSTANTS)
    graph = FRONTEND.load(path, input_shapes={"x": (1, 6, 5, 3)})
    assert [(op.kind, op.type.shape) for op in graph] == [
        ("Input", (1, 3, 6, 5)), ("Conv2d", (1, 4, 4, 3)),
    ]  # fmt: skip
    assert graph.inputs[0].file_layout == "NHWC"
    compared(path, graph)


@pytest.mark.parametrize("dtype", [onnx.TensorProto.UINT8, onnx.TensorProto.FLOAT])
def test_arithmetic_before_it_works_on_nchw(build: Build, dtype: int) -> None:
    path = build([*ARITHMETIC, TURN, CONV], {"x": (2, 6, 5, 3)}, ["y"], CONSTANTS, dtype=dtype)
    graph = FRONTEND.load(path)
    assert [op.kind for op in graph] == ["Input", "Sub", "Mul", "Div", "Conv2d"]
    assert graph.ops[3].name == "c_Transpose" and graph.ops[3].source == "c"
    assert {op.type.shape for op in graph.ops[:4]} == {(2, 3, 6, 5)}
    compared(path, graph)


def test_a_transpose_at_the_end_stays(build: Build) -> None:
    back = node("Transpose", ["y"], ["z"], perm=[0, 2, 3, 1])
    path = build([rename("t"), TURN, CONV, back], {"x": (1, 6, 5, 3)}, ["z"], CONSTANTS)
    graph = FRONTEND.load(path)
    assert graph[graph.outputs[0]].type.shape == (1, 4, 3, 4)
    compared(path, graph)


@pytest.mark.parametrize(
    ("nodes", "outputs"),
    [
        ([rename("t"), TURN, CONV, node("ReduceMax", ["x"], ["z"])], ["y", "z"]),
        ([rename("t"), TURN, CONV], ["y", "c"]),
        ([rename("t"), node("Transpose", ["t"], ["c"], perm=[0, 3, 2, 1]), CONV], ["y"]),
        ([node("Relu", ["x"], ["t"]), TURN, CONV], ["y"]),
    ],
    ids=["read twice", "given out", "another order", "not arithmetic"],
)
def test_inputs_that_stay(build: Build, nodes: list[onnx.NodeProto], outputs: list[str]) -> None:
    path = build(nodes, {"x": (1, 6, 5, 3)}, outputs, CONSTANTS)
    graph = FRONTEND.load(path)
    assert graph.inputs[0].type.shape == (1, 6, 5, 3)
    assert graph.inputs[0].file_layout == ""
    compared(path, graph)


def test_a_network_cut_before_its_transpose_takes_nhwc(build: Build) -> None:
    path = build([*ARITHMETIC, TURN, CONV], {"x": (1, 6, 5, 3)}, ["y"], CONSTANTS)
    graph = FRONTEND.load(path, outputs=["m"])
    assert graph.inputs[0].type.shape == (1, 6, 5, 3)
    compared(path, graph)


@pytest.mark.parametrize("dtype", [onnx.TensorProto.UINT8, onnx.TensorProto.FLOAT])
def test_images_become_nchw_for_a_network_that_takes_nhwc(
    build: Build, tmp_path: Path, dtype: int
) -> None:
    cv2 = pytest.importorskip("cv2")
    path = build([*ARITHMETIC, TURN, CONV], {"x": (1, 6, 5, 3)}, ["y"], CONSTANTS, dtype=dtype)
    picture = RNG.integers(0, 255, (6, 5, 3)).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "p.png"), picture[..., ::-1])
    graph = cvi.transform(
        path,
        tmp_path / "net.cvi.json",
        image_options=ImageOptions(preset="zero-255"),
        images=[tmp_path / "p.png"],
        tolerance=Tolerance(0.999999, 0.999999, 0.999),
        work_dir=tmp_path / "kept",
    )
    assert graph.inputs[0].type.shape == (1, 3, 6, 5)
    target = np.load(tmp_path / "kept" / "model_verify-float_target.npz")
    want = FRONTEND.reference(
        path, {"x": picture[None].transpose(0, 3, 1, 2).astype(np.float32)}, tensors=["y"]
    )["y"]
    np.testing.assert_allclose(target["y_Conv"], want, rtol=1e-4, atol=1e-3)
