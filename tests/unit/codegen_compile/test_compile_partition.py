"""Segments: as few as possible, in an order that the data flow allows."""

from __future__ import annotations

from cvi.ir import DType, Graph, Input, TensorType
from cvi.ops import Add, Permute
from cvi_tpu.codegen.partition import Segment, Unit, partition, split, unit_of
from cvi_tpu.quantized.ops import CpuSoftmax, Dequantize, Int8Clip, Quantize

FLOATS = TensorType((1, 4, 4, 4))
BYTES = TensorType((1, 4, 4, 4), DType.INT8, 1.0)


def clip(name: str, source: str) -> Int8Clip:
    return Int8Clip(name=name, inputs=(source,), minimum=0, maximum=9, out_scale=1.0)


def shape_of(segments: list[Segment]) -> list[tuple[str, tuple[str, ...]]]:
    return [(s.unit.value, tuple(op.name for op in s.ops)) for s in segments]


def test_a_plain_network_has_three_segments() -> None:
    graph = Graph("g")
    graph.add(Input(name="x", type=FLOATS))
    graph.add(Quantize(name="q", inputs=("x",), scale=1.0))
    graph.add(clip("a", "q"))
    graph.add(clip("b", "a"))
    graph.add(Dequantize(name="d", inputs=("b",), scale=1.0))
    graph.outputs = ("d",)
    assert shape_of(partition(graph)) == [("CPU", ("q",)), ("TPU", ("a", "b")), ("CPU", ("d",))]


def test_cpu_ops_move_behind_the_tpu_work() -> None:
    graph = Graph("g")
    graph.add(Input(name="x", type=BYTES))
    graph.add(clip("a", "x"))
    graph.add(Dequantize(name="d", inputs=("a",), scale=1.0))
    graph.add(clip("b", "a"))
    graph.add(Dequantize(name="e", inputs=("b",), scale=1.0))
    graph.outputs = ("d", "e")
    assert shape_of(partition(graph)) == [("TPU", ("a", "b")), ("CPU", ("d", "e"))]


def test_cpu_ops_move_before_the_tpu_work() -> None:
    graph = Graph("g")
    graph.add(Input(name="x", type=BYTES))
    graph.add(Input(name="y", type=FLOATS))
    graph.add(clip("a", "x"))
    graph.add(Quantize(name="q", inputs=("y",), scale=1.0))
    graph.add(clip("b", "q"))
    graph.outputs = ("a", "b")
    assert shape_of(partition(graph)) == [("CPU", ("q",)), ("TPU", ("a", "b"))]


def test_a_cpu_function_in_the_middle_cuts() -> None:
    graph = Graph("g")
    graph.add(Input(name="x", type=BYTES))
    graph.add(clip("a", "x"))
    graph.add(Dequantize(name="d", inputs=("a",), scale=1.0))
    graph.add(CpuSoftmax(name="s", inputs=("d",), axis=1))
    graph.add(Quantize(name="q", inputs=("s",), scale=1.0))
    graph.add(clip("b", "q"))
    graph.add(clip("c", "x"))
    graph.outputs = ("b", "c")
    assert shape_of(partition(graph)) == [
        ("TPU", ("a", "c")), ("CPU", ("d", "s", "q")), ("TPU", ("b",)),
    ]  # fmt: skip


def test_free_ops_do_not_make_segments() -> None:
    graph = Graph("g")
    graph.add(Input(name="x", type=BYTES))
    graph.add(clip("a", "x"))
    graph.add(Dequantize(name="d", inputs=("a",), scale=1.0))
    graph.add(clip("r", "a"))
    graph.add(Dequantize(name="e", inputs=("r",), scale=1.0))
    graph.outputs = ("d", "e")
    segments = partition(graph, free={"r"})
    assert [s.unit for s in segments] == [Unit.TPU, Unit.CPU]


def test_who_runs_what() -> None:
    graph = Graph("g")
    graph.add(Input(name="x", type=FLOATS))
    moved = graph.add(Permute(name="p", inputs=("x",), order=(0, 2, 3, 1)))
    summed = graph.add(Add(name="s", inputs=("x", "x")))
    assert unit_of(moved) is Unit.TPU
    assert unit_of(summed) is None
    assert unit_of(graph["x"]) is None


def test_splitting_by_commands() -> None:
    graph = Graph("g")
    graph.add(Input(name="x", type=BYTES))
    ops = tuple(graph.add(clip(f"c{i}", "x")) for i in range(5))
    parts = split(Segment(Unit.TPU, ops), [4, 4, 9, 1, 1], 8)
    assert [len(p.ops) for p in parts] == [2, 1, 2]
    assert sum((p.ops for p in parts), ()) == ops
