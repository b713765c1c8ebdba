"""Positions of maxima and rows of tables in the quantised graph."""

from __future__ import annotations

import numpy as np
import pytest
from small_nets import BareChip, chip, kinds, network, quantise, random, table_of

from cvi.execute import evaluate
from cvi.ir import DType, Graph, Input, TensorType
from cvi.ir.text import to_text
from cvi.ops import ArgMax, Concat, Embedding, Permute, Relu, Reshape
from cvi_tpu.quantized.scheme import Int8Scheme

AFTER = """graph net
  %x : int8[2x300x3]*1 = Input()
  %y_turned : int8[2x3x300]*1 = Permute(%x) {order=(0, 2, 1)}
  %y_rows : int8[6x300]*1 = Reshape(%y_turned) {shape=(6, 300)}
  %y_filled : int8[6x512]*1 = Pad(%y_rows) {before=(0, 0), after=(0, 212), value=-128.0}
  %y_blocks : int8[1x12x16x16]*1 = Reshape(%y_filled) {shape=(1, 12, 16, 16)}
  %y_maxima : int8[1x12x1x1]*1 = Int8MaxPool2d(%y_blocks) {out_scale=1.0, kernel=(16, 16)}
  %y_block_maxima : int8[6x2]*1 = Reshape(%y_maxima) {shape=(6, 2)}
  %y_flat : fp32[6] = CpuFunction(%y_rows, %y_block_maxima) {function='argmax_v3', \
arguments=(('axis', 1),), shape=(6,)}
  %y : fp32[2x1x3] = Reshape(%y_flat) {shape=(2, 1, 3)}
  return %y
"""


def test_blocks_of_rows() -> None:
    graph = network(ArgMax(name="y", inputs=("x",), axis=1), inputs={"x": (2, 300, 3)})
    assert to_text(quantise(graph, table_of({"x": 127.0}))) == AFTER


def test_a_short_row_is_one_block() -> None:
    op = ArgMax(name="y", inputs=("x",), axis=1, keepdims=False)
    graph = network(op, inputs={"x": (6, 21)})
    quantised = quantise(graph, table_of({"x": 127.0}))
    assert kinds(quantised) == ["Input", "Reshape", "Int8MaxPool2d", "Reshape", "CpuFunction"]
    x = np.random.default_rng(0).integers(-128, 128, (6, 21)).astype(np.int8)
    np.testing.assert_array_equal(evaluate(quantised, {"x": x})["y"], x.argmax(axis=1))


def test_positions_are_never_quantised() -> None:
    """Not even when the outputs are asked for in int8, and after they have been moved."""
    graph = network(
        ArgMax(name="a", inputs=("x",), axis=1),
        Permute(name="p", inputs=("a",), order=(0, 2, 3, 1)),
        Concat(name="c", inputs=("p", "p"), axis=0),
        Relu(name="r", inputs=("x",)),
        outputs=("c", "r"),
    )
    quantised = quantise(graph, table_of({"x": 1.0}), outputs_type="int8")
    assert quantised.outputs == ("c", "r")
    assert [quantised.type_of(n).dtype for n in quantised.outputs] == [DType.FP32, DType.INT8]


def lookup(indices: tuple[int, ...], dtype: DType = DType.INT32) -> Graph:
    graph = Graph("net")
    graph.constants = {"t": random(9, 5)}
    graph.add(Input(name="i", type=TensorType(indices, dtype)))
    graph.add(Embedding(name="y", inputs=("i", "t")))
    graph.outputs = ("y",)
    return graph


@pytest.mark.parametrize("shape", [(), (4,), (2, 3), (2, 1, 3, 1, 2)])
@pytest.mark.parametrize("dtype", [DType.INT32, DType.UINT16])
@pytest.mark.parametrize("inputs_type", ["int8", "fp32"])
def test_rows_of_a_table(shape: tuple[int, ...], dtype: DType, inputs_type: str) -> None:
    """The indices come in as they are, whatever the type of other inputs."""
    graph = lookup(shape, dtype)
    inputs = {"i": np.asarray(np.random.default_rng(0).integers(0, 9, shape), dtype.numpy)}
    table = table_of({"y": float(np.abs(evaluate(graph, inputs)["y"]).max())})
    quantised = quantise(graph, table, inputs_type=inputs_type)
    assert quantised.inputs[0].type.dtype is dtype
    exact, got = evaluate(graph, inputs)["y"], evaluate(quantised, inputs)["y_dequant"]
    assert got.shape == exact.shape
    np.testing.assert_allclose(got, exact, atol=table.threshold("y") / 127 * 0.501)


def test_rows_that_calibration_has_not_seen_saturate() -> None:
    graph = lookup((2,))
    graph.constants["t"][3] = 5.0
    quantised = quantise(graph, table_of({"y": 1.0}), outputs_type="int8")
    got = evaluate(quantised, {"i": np.array([3, 0], np.int32)})["y"]
    assert got[0].tolist() == [127] * 5


def test_what_is_impossible_is_reported() -> None:
    scheme = Int8Scheme()
    floats = network(Embedding(name="e", inputs=("x", "t")), inputs={"x": (3,)}, t=random(9, 5))
    (problem,) = scheme.problems(floats, BareChip())
    assert problem.startswith("e (Embedding): the indices are computed")
    computed = network(
        ArgMax(name="a", inputs=("x",), axis=0),
        Reshape(name="r", inputs=("a",), shape=(5,)),
        Embedding(name="e", inputs=("r", "x")),
        inputs={"x": (9, 5)},
    )
    problems = scheme.problems(computed, BareChip())
    assert [p.partition(";")[0] for p in problems] == [
        "e (Embedding): the indices are computed, or something else reads them too",
        "e (Embedding): the table is computed",
    ]
    wide = Graph("net")
    wide.add(Input(name="i", type=TensorType((3,), DType.INT64)))
    (problem,) = scheme.problems(wide, BareChip())
    assert problem == "i (Input): the input is int64[3]; the TPU needs fp32 inputs"


@pytest.mark.parametrize("name", ["a", "y"])
def test_chips_without_cpu_functions_refuse_them(name: str) -> None:
    graph = lookup((2,)) if name == "y" else network(ArgMax(name="a", inputs=("x",), axis=1))
    assert Int8Scheme().problems(graph, BareChip()) == []
    (problem,) = Int8Scheme().problems(graph, chip(has_cpu_functions=False))
    assert f"{name} (" in problem
    assert "the chip's runtime has no CPU functions" in problem
