"""Nodes that only mean something together: choices by data, branches, attention, quantisation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx_models import Build, node

from cvi.errors import UnsupportedError
from cvi.execute import evaluate
from cvi.ir import Array, Graph
from cvi.passes import simplify
from cvi_frontend_onnx.frontend import OnnxFrontend

FRONTEND = OnnxFrontend()
RNG = np.random.default_rng(9)


def weights(*shape: int) -> Array:
    return RNG.normal(size=shape).astype(np.float32)


def compared(path: Path, tolerance: float = 1e-5) -> Graph:
    """The imported graph, after comparing its outputs with onnxruntime's."""
    graph = FRONTEND.load(path)
    feeds = {op.name: weights(*op.type.shape) for op in graph.inputs}
    sources = {name: graph[name].source for name in graph.outputs}
    assert all(sources.values())
    want = FRONTEND.reference(path, feeds, tensors=list(sources.values()))
    for stage in (graph, simplify(graph)):
        got = evaluate(stage, feeds)
        for name, source in sources.items():
            np.testing.assert_allclose(
                got[name], want[source].astype(np.float32), rtol=tolerance, atol=tolerance
            )
    return graph


# -- choices ---------------------------------------------------------------------

NUMBERS = {"half": np.array(0.5, np.float32), "zero": np.array(0, np.float32),
           "row": weights(4), "no": np.array(-np.inf, np.float32)}  # fmt: skip


@pytest.mark.parametrize("op", ["Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Equal"])
@pytest.mark.parametrize("operands", [("x", "half"), ("half", "x"), ("x", "z"), ("row", "x")])
def test_choosing_by_comparison(build: Build, op: str, operands: tuple[str, str]) -> None:
    nodes = [node(op, operands, ["m"]), node("Where", ["m", "x", "z"], ["y"])]
    compared(build(nodes, {"x": (3, 4), "z": (3, 4)}, ["y"], NUMBERS))


@pytest.mark.parametrize(
    "choice", [("x", "zero"), ("zero", "x"), ("half", "zero"), ("zero", "zero"), ("row", "x")]
)
def test_choosing_constants(build: Build, choice: tuple[str, str]) -> None:
    nodes = [node("Less", ["x", "half"], ["m"]), node("Where", ["m", *choice], ["y"])]
    compared(build(nodes, {"x": (3, 4)}, ["y"], NUMBERS))


def test_logic_on_data(build: Build) -> None:
    nodes = [
        node("Greater", ["x", "zero"], ["a"]),
        node("Less", ["x", "half"], ["b"]),
        node("And", ["a", "b"], ["c"]),
        node("Not", ["c"], ["d"]),
        node("Or", ["d", "a"], ["e"]),
        node("Cast", ["e"], ["y"], to=TensorProto.FLOAT),
    ]
    compared(build(nodes, {"x": (5, 7)}, ["y"], NUMBERS))


@pytest.mark.parametrize("choice", [("x", "no"), ("no", "x"), ("x", "half"), ("x", "z")])
def test_choosing_by_a_constant_mask(build: Build, choice: tuple[str, str]) -> None:
    mask = {"m": np.array([[True, False, True, True]])}
    nodes = [node("Where", ["m", *choice], ["y"])]
    compared(build(nodes, {"x": (3, 4), "z": (3, 4)}, ["y"], NUMBERS | mask))


def test_infinity_is_not_chosen_by_data(build: Build) -> None:
    nodes = [node("Less", ["x", "half"], ["m"]), node("Where", ["m", "x", "no"], ["y"])]
    with pytest.raises(UnsupportedError, match="infinity"):
        FRONTEND.load(build(nodes, {"x": (3, 4)}, ["y"], NUMBERS))


# -- branches ---------------------------------------------------------------------


def branch(name: str, op: str) -> onnx.GraphProto:
    nodes = [node(op, ["x"], [f"{name}_in"]), node("Mul", [f"{name}_in", f"{name}_k"], [name])]
    factor = numpy_helper.from_array(np.array([2], np.float32), f"{name}_k")
    return helper.make_graph(nodes, name, [], [helper.make_empty_tensor_value_info(name)], [factor])


@pytest.mark.parametrize(("size", "kind"), [(4, "Abs"), (5, "Neg")])
def test_the_branch_that_the_shape_chooses(build: Build, size: int, kind: str) -> None:
    nodes = [
        node("Relu", ["x"], ["r"]),
        node("Shape", ["r"], ["s"]),
        node("Gather", ["s", "last"], ["n"]),
        node("Equal", ["n", "four"], ["c"]),
        node("If", ["c"], ["b"], then_branch=branch("t", "Abs"), else_branch=branch("e", "Neg")),
        node("Add", ["b", "r"], ["y"]),
    ]
    numbers = {"last": np.array(1), "four": np.array(4)}
    graph = compared(build(nodes, {"x": (2, size)}, ["y"], numbers))
    assert [op.kind for op in graph] == ["Input", "Relu", kind, "Mul", "Add"]


def test_branches_chosen_by_data_are_refused(build: Build) -> None:
    nodes = [
        node("ReduceMax", ["x"], ["m"], keepdims=0),
        node("Cast", ["m"], ["c"], to=TensorProto.BOOL),
        node("If", ["c"], ["y"], then_branch=branch("t", "Abs"), else_branch=branch("e", "Neg")),
    ]
    with pytest.raises(UnsupportedError) as caught:
        FRONTEND.load(build(nodes, {"x": (2, 3)}, ["y"]))
    assert [p.split()[0] for p in caught.value.problems] == ["Cast", "If"]


def test_a_refused_node_of_a_branch_is_named(build: Build) -> None:
    nodes = [
        node("If", ["c"], ["y"], then_branch=branch("t", "NonZero"), else_branch=branch("e", "Neg"))
    ]
    with pytest.raises(UnsupportedError, match="NonZero 't_in'"):
        FRONTEND.load(build(nodes, {"x": (2, 3)}, ["y"], {"c": np.array(True)}))


# -- functions ---------------------------------------------------------------------


def test_functions_of_the_model_are_put_in_place(tmp_path: Path) -> None:
    opset = [helper.make_opsetid("", 17), helper.make_opsetid("mine", 1)]
    body = [node("Sigmoid", ["a"], ["s"]), node("Mul", ["a", "s"], ["b"])]
    function = helper.make_function("mine", "Silu", ["a"], ["b"], body, opset[:1])
    call = helper.make_node("Silu", ["x"], ["y"], domain="mine")
    info = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3])
    graph = helper.make_graph([call], "g", [info], [helper.make_empty_tensor_value_info("y")])
    model = helper.make_model(graph, opset_imports=opset, functions=[function], ir_version=8)
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    assert [op.kind for op in simplify(compared(path))] == ["Input", "Swish"]


# -- attention --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shapes", "attributes", "mask"),
    [
        (((1, 2, 5, 4), (1, 2, 6, 4), (1, 2, 6, 3)), {}, None),
        (((1, 4, 5, 4), (1, 2, 6, 4), (1, 2, 6, 3)), {"scale": 0.3}, weights(5, 6)),
        (((2, 5, 8), (2, 6, 8), (2, 6, 8)), {"q_num_heads": 2, "kv_num_heads": 2}, None),
        (((1, 2, 5, 4), (1, 2, 5, 4), (1, 2, 5, 4)), {"is_causal": 1}, None),
        (((1, 2, 2, 4), (1, 2, 3, 4), (1, 2, 3, 4)), {"softcap": 2.0},
         np.array([[True, False, True], [True, True, False]])),
    ],
    ids=["plain", "shared keys", "joined heads", "causal", "masked"],
)  # fmt: skip
def test_attention(
    build: Build, shapes: tuple[tuple[int, ...], ...], attributes: dict[str, Any], mask: Any
) -> None:
    inputs = dict(zip("qkv", shapes, strict=True))
    names = [*"qkv", *(["m"] if mask is not None else [])]
    constants = {} if mask is None else {"m": mask}
    nodes = [node("Attention", names, ["y"], **attributes)]
    compared(build(nodes, inputs, ["y"], constants, opset=23))


# -- models that are quantised already ------------------------------------------------


def quantised(dtype: type, zero: int, scale: float, **more: Array) -> dict[str, Array]:
    return {"s": np.array(scale, np.float32), "z": np.array(zero, dtype), **more}


PAIR = [node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        node("DequantizeLinear", ["q", "s", "z"], ["y"])]  # fmt: skip


@pytest.mark.parametrize(("dtype", "zero"), [(np.uint8, 120), (np.int8, 0), (np.uint8, 0)])
def test_a_pair_of_data_only_limits_it(build: Build, dtype: type, zero: int) -> None:
    path = build(PAIR, {"x": (4, 50)}, ["y"], quantised(dtype, zero, 0.01), opset=13)
    graph = compared(path, 0.006)
    assert [op.kind for op in graph] == [
        "Input",
        "Relu" if (dtype, zero) == (np.uint8, 0) else "Clip",
    ]


def test_weights_are_dequantised_per_channel(build: Build) -> None:
    constants = {
        "w": RNG.integers(-127, 127, (6, 3, 3, 3)).astype(np.int8),
        "ws": np.abs(weights(6)) * 0.01, "wz": np.zeros(6, np.int8),
        "b": RNG.integers(-900, 900, 6).astype(np.int32), "bs": np.array(1e-3, np.float32),
        "p": np.array([0, 0, 1, 0, 0, 0, 0, 2]),
        **quantised(np.uint8, 0, 0.02),
    }  # fmt: skip
    nodes = [
        node("DequantizeLinear", ["w", "ws", "wz"], ["w1"], axis=0),
        node("DequantizeLinear", ["b", "bs"], ["b1"]),
        node("Conv", ["x", "w1", "b1"], ["c"]),
        node("QuantizeLinear", ["c", "s", "z"], ["q"]),
        node("Pad", ["q", "p", "z"], ["o"]),
        node("Transpose", ["o"], ["t"], perm=[0, 2, 3, 1]),
        node("DequantizeLinear", ["t", "s", "z"], ["y"]),
    ]
    graph = compared(build(nodes, {"x": (1, 3, 7, 7)}, ["y"], constants, opset=13), 0.011)
    assert [op.kind for op in simplify(graph)] == [
        "Input",
        "Conv2d",
        "Pad",
        "Permute",
        "Relu",
    ]


def test_quantised_convolutions_and_products(build: Build) -> None:
    constants = {
        "w": RNG.integers(0, 255, (4, 3, 3, 3)).astype(np.uint8), "ws": np.array(0.01, np.float32),
        "wz": np.array(128, np.uint8), "b": RNG.integers(-900, 900, 4).astype(np.int32),
        "m": RNG.integers(0, 255, (5, 6)).astype(np.uint8), "ys": np.array(0.1, np.float32),
        "yz": np.array(120, np.uint8), **quantised(np.uint8, 130, 0.03),
    }  # fmt: skip
    nodes = [
        node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        node("QLinearConv", ["q", "s", "z", "w", "ws", "wz", "ys", "yz", "b"], ["c"]),
        node("QLinearMatMul", ["c", "ys", "yz", "m", "ws", "wz", "ys", "yz"], ["d"]),
        node("DequantizeLinear", ["d", "ys", "yz"], ["y"]),
    ]
    compared(build(nodes, {"x": (1, 3, 7, 7)}, ["y"], constants, opset=13), 0.35)


@pytest.mark.parametrize(
    ("nodes", "why"),
    [
        ([*PAIR[:1], node("DequantizeLinear", ["q", "t", "z"], ["y"])], "another scale"),
        (PAIR[:1], "held in integers"),
        ([*PAIR[:1], node("Cast", ["q"], ["y"], to=1)], "own quantisation"),
        ([node("QuantizeLinear", ["x", "v", "n"], ["q"], axis=1),
          node("DequantizeLinear", ["q", "v", "n"], ["y"], axis=1)], "several scales"),
        ([*PAIR[:1], node("Add", ["q", "q"], ["y"])], "type uint8"),
    ],
)  # fmt: skip
def test_quantisation_that_is_refused(build: Build, nodes: list[Any], why: str) -> None:
    constants = quantised(np.uint8, 0, 0.1, t=np.array(0.2, np.float32),
                          v=np.full(5, 0.1, np.float32), n=np.zeros(5, np.uint8))  # fmt: skip
    outputs = [nodes[-1].output[0]]
    with pytest.raises(UnsupportedError, match=why):
        FRONTEND.load(build(nodes, {"x": (4, 5)}, outputs, constants, opset=14))


def test_constants_that_onnx_itself_cannot_compute_are_refused(build: Build) -> None:
    nodes = [node("DequantizeLinear", ["w", "s"], ["v"]), node("Add", ["x", "v"], ["y"])]
    constants = {"w": weights(4), "s": np.array(0.5, np.float32)}
    with pytest.raises(UnsupportedError, match="onnx cannot compute"):
        FRONTEND.load(build(nodes, {"x": (3, 4)}, ["y"], constants, opset=13))


def test_whole_numbers_from_outside_are_dequantised_by_arithmetic(build: Build) -> None:
    path = build([node("DequantizeLinear", ["x", "s", "z"], ["y"])], {"x": (3, 4)}, ["y"],
                 quantised(np.uint8, 7, 0.5), opset=13, dtype=TensorProto.UINT8)  # fmt: skip
    graph = FRONTEND.load(path)
    assert graph.inputs[0].file_dtype == "uint8"
    x = RNG.integers(0, 255, (3, 4)).astype(np.float32)
    want = FRONTEND.reference(path, {"x": x}, tensors=["y"])["y"]
    np.testing.assert_allclose(evaluate(graph, {"x": x})[graph.outputs[0]], want, rtol=1e-6)
