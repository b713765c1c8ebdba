"""Movement on the integer side of casts: the same results with less to move."""

from __future__ import annotations

import numpy as np

from cvi.execute import evaluate
from cvi.ir import DType, Graph, Input, Op, TensorType
from cvi.ops import Concat, Pad, Permute, Reshape, Slice
from cvi_tpu.codegen.casts import prepare
from cvi_tpu.quantized.ops import CpuSoftmax, Dequantize, Quantize

SCALE = 0.25


def kinds(graph: Graph) -> list[str]:
    return [op.kind for op in graph.ops if not isinstance(op, Input)]


def dequantised(*moves: Op, parts: int = 1) -> Graph:
    """x (int8) → d, then the moves."""
    graph = Graph("g")
    for i in range(parts):
        graph.add(Input(name=f"x{i}", type=TensorType((2, 3, 4), DType.INT8, SCALE)))
        graph.add(Dequantize(name=f"d{i}", inputs=(f"x{i}",), scale=SCALE))
    for move in moves:
        graph.add(move)
    graph.outputs = (moves[-1].name,)
    return graph


def same(before: Graph, after: Graph) -> None:
    rng = np.random.default_rng(0)
    feeds = {
        op.name: rng.integers(-128, 128, op.type.shape).astype(op.type.dtype.numpy)
        for op in before.inputs
    }
    want, got = evaluate(before, feeds), evaluate(after, feeds)
    assert after.outputs == before.outputs
    for name in before.outputs:
        np.testing.assert_array_equal(got[name], want[name])


def test_movement_goes_before_the_dequantise() -> None:
    before = dequantised(
        Permute(name="p", inputs=("d0",), order=(2, 0, 1)),
        Slice(name="s", inputs=("p",), starts=(1, 0, 0), sizes=(2, 2, 3), steps=(1, 1, 1)),
    )
    after = prepare(before)
    assert kinds(after) == ["Permute", "Slice", "Dequantize"]
    assert all(op.type.dtype is DType.INT8 for op in after.ops[:-1])
    same(before, after)


def test_concat_of_equal_scales_goes_before() -> None:
    before = dequantised(Concat(name="c", inputs=("d0", "d1"), axis=1), parts=2)
    after = prepare(before)
    assert kinds(after) == ["Concat", "Dequantize"]
    same(before, after)


def test_concat_of_different_scales_stays() -> None:
    graph = Graph("g")
    for i, scale in enumerate((0.25, 0.5)):
        graph.add(Input(name=f"x{i}", type=TensorType((2, 3), DType.INT8, scale)))
        graph.add(Dequantize(name=f"d{i}", inputs=(f"x{i}",), scale=scale))
    graph.add(Concat(name="c", inputs=("d0", "d1"), axis=0))
    graph.outputs = ("c",)
    assert kinds(prepare(graph)) == ["Dequantize", "Dequantize", "Concat"]


def test_pads_go_before_if_the_integers_have_their_value() -> None:
    for value, kind in ((0.5, "Pad"), (0.3, "Dequantize"), (1000.0, "Dequantize")):
        pad = Pad(name="p", inputs=("d0",), before=(1, 0, 0), after=(0, 0, 1), value=value)
        before = dequantised(pad)
        after = prepare(before)
        assert kinds(after)[0] == kind
        same(before, after)


def test_quantise_goes_before_movement() -> None:
    before = Graph("g")
    before.add(Input(name="x", type=TensorType((1, 4, 5, 3))))
    before.add(Permute(name="p", inputs=("x",), order=(0, 3, 1, 2)))
    before.add(Quantize(name="q", inputs=("p",), scale=4.0))
    before.outputs = ("q",)
    after = prepare(before)
    assert kinds(after) == ["Quantize", "Permute"]
    assert after["q"].type == before["q"].type
    same(before, after)


def test_movement_with_another_reader_stays_before_the_quantise() -> None:
    graph = Graph("g")
    graph.add(Input(name="x", type=TensorType((1, 4, 5, 3))))
    graph.add(Permute(name="p", inputs=("x",), order=(0, 3, 1, 2)))
    graph.add(Quantize(name="q", inputs=("p",), scale=4.0))
    graph.outputs = ("q", "p")
    assert kinds(prepare(graph)) == ["Permute", "Quantize"]


def test_a_softmax_of_many_dims_becomes_one_of_three() -> None:
    graph = Graph("g")
    graph.add(Input(name="x", type=TensorType((2, 3, 2, 4, 5))))
    graph.add(CpuSoftmax(name="s", inputs=("x",), axis=3))
    graph.outputs = ("s",)
    after = prepare(graph)
    assert kinds(after) == ["Reshape", "CpuSoftmax", "Reshape"]
    assert after.ops[2].type.shape == (12, 4, 5)
    same(graph, after)


def test_dead_ops_go_unless_all_are_kept() -> None:
    graph = dequantised(
        Reshape(name="dead", inputs=("d0",), shape=(24,)),
        Permute(name="p", inputs=("d0",), order=(2, 0, 1)),
    )
    assert "dead" not in prepare(graph)
    assert "dead" in prepare(graph, keep_all=True)
    assert "d0" in prepare(graph, keep_all=True)
