"""ArgMax on data and Gather at indices from the data, against onnxruntime."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto
from onnx_models import Build, node

from cvi.errors import ModelError, UnsupportedError
from cvi.execute import evaluate, run_float
from cvi.ir import DType
from cvi.passes import simplify
from cvi_frontend_onnx.executor import OnnxRuntimeExecutor
from cvi_frontend_onnx.frontend import OnnxFrontend

LOAD = OnnxFrontend().load
RNG = np.random.default_rng(5)


@pytest.mark.parametrize("attributes", [{}, {"axis": 1}, {"axis": -1, "keepdims": 0}], ids=str)
def test_argmax_gives_the_first_of_several(build: Build, attributes: dict[str, int]) -> None:
    path = build([node("ArgMax", ["x"], ["y"], **attributes)], {"x": (3, 4, 5)}, ["y"])
    x = RNG.integers(-2, 2, (3, 4, 5)).astype(np.float32)
    want = OnnxFrontend().reference(path, {"x": x})["y"]
    got = evaluate(LOAD(path), {"x": x})["y_ArgMax"]
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, want)


def test_the_last_of_several_is_refused(build: Build) -> None:
    nodes = [node("ArgMax", ["x"], ["y"], axis=1, select_last_index=1)]
    with pytest.raises(UnsupportedError) as caught:
        LOAD(build(nodes, {"x": (3, 4)}, ["y"]))
    assert "last of several" in caught.value.problems[0]


def test_positions_are_whole_numbers_until_they_are_cast(build: Build) -> None:
    """Dividing int64 rounds: it is refused. A Cast to float makes numbers of them."""
    nodes = [node("ArgMax", ["x"], ["i"], axis=1), node("Div", ["i", "two"], ["y"])]
    two = {"two": np.array(2)}
    with pytest.raises(UnsupportedError) as caught:
        LOAD(build(nodes, {"x": (3, 4)}, ["y"], two))
    assert "int64" in caught.value.problems[0]
    nodes.insert(1, node("Cast", ["i"], ["f"], to=TensorProto.FLOAT))
    nodes[2] = node("Div", ["f", "half"], ["y"])
    path = build(nodes, {"x": (3, 4)}, ["y"], {"half": np.array(0.5, np.float32)})
    x = RNG.normal(size=(3, 4)).astype(np.float32)
    want = OnnxFrontend().reference(path, {"x": x})["y"]
    np.testing.assert_array_equal(evaluate(LOAD(path), {"x": x})["y_Div"], want)


GATHERS = [
    ((7, 5), 0, (2, 3)),
    ((7, 5), 1, (4,)),
    ((7, 5), -1, (2, 3)),
    ((7,), 0, (2, 3)),
    ((3, 7, 2), 1, (4,)),
    ((3, 7, 2), 2, (2, 2)),
    ((3, 7, 2), 0, ()),
]


@pytest.mark.parametrize(("table", "axis", "indices"), GATHERS, ids=str)
@pytest.mark.parametrize("kind", [TensorProto.INT64, TensorProto.INT32])
def test_tables_are_looked_up(
    build: Build, table: tuple[int, ...], axis: int, indices: tuple[int, ...], kind: int
) -> None:
    values = RNG.normal(size=table).astype(np.float32)
    nodes = [node("Gather", ["t", "i"], ["y"], axis=axis)]
    path = build(nodes, {"i": indices}, ["y"], {"t": values}, dtype=kind)
    i = RNG.integers(0, table[axis], indices).astype(np.int32)
    want = OnnxFrontend().reference(path, {"i": i})["y"]
    graph = LOAD(path)
    np.testing.assert_array_equal(evaluate(graph, {"i": i.astype(np.float32)})["y_Gather"], want)
    graph = simplify(graph)
    assert graph.inputs[0].type.dtype is DType.INT32
    for executors in [], [OnnxRuntimeExecutor()]:
        got = run_float(graph, {"i": i}, executors=executors)["y_Gather"]
        np.testing.assert_array_equal(got, want)


def test_moved_indices_run_fast_too(build: Build) -> None:
    """Movement ops on whole numbers have an ONNX form."""
    nodes = [
        node("Slice", ["i", "one", "end", "one"], ["s"]),
        node("Pad", ["s", "pads"], ["p"]),
        node("Unsqueeze", ["p", "one"], ["u"]),
        node("Concat", ["u", "u"], ["c"], axis=1),
        node("Gather", ["t", "c"], ["y"]),
    ]
    constants = {
        "t": RNG.normal(size=(9, 4)).astype(np.float32),
        "one": np.array([1]),
        "end": np.array([4]),
        "pads": np.array([0, 1, 0, 2]),
    }
    path = build(nodes, {"i": (2, 5)}, ["y"], constants, dtype=TensorProto.INT64)
    i = RNG.integers(0, 9, (2, 5)).astype(np.int32)
    want = OnnxFrontend().reference(path, {"i": i})["y"]
    graph = simplify(LOAD(path))
    assert {op.type.dtype for op in graph.ops[:-1]} == {DType.INT32}
    got = run_float(graph, {"i": i}, executors=[OnnxRuntimeExecutor()])["y_Gather"]
    np.testing.assert_array_equal(got, want)


def test_what_cannot_be_looked_up(build: Build) -> None:
    nodes = [node("Gather", ["t", "i"], ["y"])]
    table = np.ones((7, 5), np.float32)
    with pytest.raises(ModelError, match="no integers"):
        LOAD(build(nodes, {"i": (2,)}, ["y"], {"t": table}))
    with pytest.raises(UnsupportedError) as caught:
        LOAD(build(nodes, {"i": (2,)}, ["y"], {"t": np.arange(7)}, dtype=TensorProto.INT64))
    assert "constants of type int64" in caught.value.problems[0]
    empty = np.ones((7, 0), np.float32)
    with pytest.raises(ModelError, match="empty"):
        LOAD(build(nodes, {"i": (2,)}, ["y"], {"t": empty}, dtype=TensorProto.INT64))
