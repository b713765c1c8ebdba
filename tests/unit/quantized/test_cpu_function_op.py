"""Calls of CPU functions as ops: checks, meaning, files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cvi.errors import CviError, ModelError, UnsupportedError
from cvi.execute import evaluate
from cvi.ir import DType, Graph, Input, TensorType, storage
from cvi_chip_cv183x.spec import CV183X
from cvi_tpu.codegen.compile import compile_graph
from cvi_tpu.model import Element, Floats, Ints, decode_arguments, read
from cvi_tpu.quantized.ops import CpuFunction, Dequantize
from cvi_tpu.runtime import Runtime


def call(function: str, *arguments: tuple[str, Any], **fields: Any) -> CpuFunction:
    fields = {"name": "y", "inputs": ("x",), "shape": (2, 3)} | fields
    return CpuFunction(function=function, arguments=arguments, **fields)


def graph_of(*ops: CpuFunction, x: TensorType = TensorType((2, 3))) -> Graph:  # noqa: B008
    graph = Graph("g")
    graph.add(Input(name="x", type=x))
    for op in ops:
        graph.add(op)
    graph.outputs = (ops[-1].name,)
    return graph


def test_the_function_sees_four_dimensions() -> None:
    x = np.array([[1, 2, 3], [4, 5, 6]], np.float32)
    (y,) = evaluate(graph_of(call("cumsum", ("axis", 1))), {"x": x}).values()
    np.testing.assert_array_equal(y, np.cumsum(x, axis=1))


def test_numbers_have_the_precision_of_the_file() -> None:
    op = call("quant", ("from", "FP32"), ("to", "INT8"), ("scale", 0.1), dtype=DType.INT8)
    x = np.array([[5, 15, 25], [35, 45, 55]], np.float32)
    (y,) = evaluate(graph_of(op.with_(scale=10.0)), {"x": x}).values()
    np.testing.assert_array_equal(y, [[1, 2, 3], [4, 5, 6]])  # 0.1 in fp32 is above 0.1


@pytest.mark.parametrize(
    ("op", "why"),
    [
        (call("cumsum", ("axis", np.int64(1))), "argument 'axis' cannot be"),
        (call("cumsum", ("axis", 1 << 31)), "argument 'axis' cannot be"),
        (call("quant", ("scale", float("inf"))), "argument 'scale' cannot be"),
        (call("quant", ("mean", Floats(()))), "argument 'mean' cannot be"),
        (call("cumsum", ("axis", 1), ("axis", 2)), "an argument is given twice"),
        (call("cumsum", shape=(1, 1, 1, 2, 3)), "cannot give"),
        (call("cumsum", shape=(0, 3)), "shape must be positive"),
        (call("cumsum", inputs=()), "takes 1 operands but has 0"),
    ],
)
def test_what_cannot_be_stored_is_refused(op: CpuFunction, why: str) -> None:
    with pytest.raises(ModelError, match=why):
        graph_of(op)


@pytest.mark.parametrize(
    "x", [TensorType((1, 1, 1, 2, 3)), TensorType((2, 3), DType.BF16)], ids=str
)
def test_operands_that_the_function_would_misread(x: TensorType) -> None:
    with pytest.raises(ModelError, match="read"):
        graph_of(call("cumsum", ("axis", 1)), x=x)


def test_an_unknown_function_is_told_with_its_neighbours() -> None:
    graph = graph_of(call("cumsun", ("axis", 1)))
    with pytest.raises(UnsupportedError, match="did you mean cumsum"):
        evaluate(graph, {"x": np.zeros((2, 3), np.float32)})


def test_a_wrong_argument_is_refused_as_by_the_runtime() -> None:
    with pytest.raises(CviError, match="needs 'axis' as int; the file has float"):
        call("cumsum", ("axis", 1.0)).evaluate(np.zeros((2, 3), np.float32))


def test_what_goes_wrong_is_told_with_the_layer() -> None:
    with pytest.raises(CviError) as caught:
        call("cumsum").evaluate(np.zeros((2, 3), np.float32))
    assert caught.value.where == "cumsum y"


@pytest.mark.parametrize("results", [[], [np.zeros(5, np.float32)], [np.zeros(6)]], ids=len)
def test_a_plugins_function_that_gives_something_else(
    results: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from cvi_tpu.runtime.functions import registry

    monkeypatch.setitem(registry._FUNCTIONS, "odd", lambda call: results)
    with pytest.raises(ModelError, match="odd gives"):
        call("odd").evaluate(np.zeros((2, 3), np.float32))


def test_all_kinds_of_arguments_survive_a_file(tmp_path: Path) -> None:
    op = call(
        "f", ("b", True), ("i", 1), ("f", 1.0), ("s", "nan"), ("t", "1"), ("is", Ints((1, 2))),
        ("fs", Floats((1.0, 0.5))), ("none", Ints(())),
    )  # fmt: skip
    storage.save(graph_of(op), tmp_path / "g.json")
    loaded = storage.load(tmp_path / "g.json")["y"]
    assert loaded == op.with_(type=TensorType((2, 3)))
    assert isinstance(loaded, CpuFunction)
    assert [type(v) for _, v in loaded.arguments] == [type(v) for _, v in op.arguments]


def test_constants_become_tensors_of_the_weight_map() -> None:
    """Two constants of the same bytes and other shapes."""
    graph = Graph("g")
    graph.add(Input(name="x", type=TensorType((1, 2, 1, 4), DType.INT8, 0.5)))
    graph.add(Dequantize(name="d", inputs=("x",), scale=0.5))
    indices = np.array([1, 0, 1, 1], np.int32)
    graph.constants["i"] = indices.reshape(1, 1, 1, 4)
    graph.constants["j"] = indices.reshape(1, 2, 1, 2)
    first = CpuFunction(
        name="y", inputs=("d", "i"), function="gatherelements_pt", arguments=(("axis", 1),),
        shape=(1, 1, 1, 4),
    )  # fmt: skip
    second = first.with_(name="z", inputs=("d", "j"), arguments=(("axis", 3),), shape=(1, 2, 1, 2))
    graph.add(first)
    graph.add(second)
    graph.outputs = ("y", "z")
    model = read(compile_graph(graph, CV183X))
    table = {w.name: w for w in model.weight_map}
    assert table["i"].offset == table["j"].offset
    assert [table[n].shape for n in "ij"] == [(1, 1, 1, 4), (1, 2, 1, 2)]
    assert {w.element for w in table.values()} == {Element.INT32}
    routine = model.programs[0].routines[-1]
    assert routine.inputs == ("d", "j") and routine.cpu is not None
    assert decode_arguments(routine.cpu.args) == {"axis": 3}
    feeds = {"x": np.arange(8, dtype=np.int8).reshape(1, 2, 1, 4)}
    ours = Runtime(model, spec=CV183X).run(feeds)
    for name, value in evaluate(graph, feeds).items():
        np.testing.assert_array_equal(ours[name], value)
    np.testing.assert_array_equal(ours["y"].ravel(), [2.0, 0.5, 3.0, 3.5])
