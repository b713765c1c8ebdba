"""Positions of maxima and rows of tables: what the rules make of random layers gives, as a
program, the bytes of the quantised graph, on our simulator and on the vendor's."""

from __future__ import annotations

import math

import numpy as np
import pytest
from drawn import drawn
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy
from program_runs import check_program

from chips import CHIPS
from cvi.calibrate.table import CalibrationTable, Threshold
from cvi.execute import evaluate
from cvi.ir import Array, DType, Graph, Input, Op, TensorType
from cvi.ops import ArgMax, Embedding, Reshape, Slice
from cvi.plugins import chip
from cvi.precision import PrecisionPlan
from cvi_tpu.chip import ChipSpec
from cvi_tpu.quantized.scheme import Int8Scheme
from vendor_here import needs_vendor

Case = tuple[list[Op], dict[str, Array]]
"""The layers of one case without the prefix of their names, and the constants and inputs."""

with_cpu = pytest.mark.parametrize(
    "spec", [spec for spec in CHIPS if spec.has_cpu_functions], ids=lambda spec: spec.name
)


def entry(name: str, array: Array) -> Input:
    return Input(name=name, type=TensorType(array.shape, DType.of(array)))


@st.composite
def argmaxes(draw: DrawFn) -> Case:
    """Rows shorter and longer than a block; many equal elements; rows without a positive."""
    others = draw(st.lists(st.integers(1, 9), max_size=4))
    length = draw(st.sampled_from([1, 2, 21, 80, 255, 256, 257, 512, 600, 1000]))
    axis = draw(st.integers(0, len(others)))
    shape = (*others[:axis], length, *others[axis:])
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    low, high = draw(st.sampled_from([(-128, 128), (-3, 4), (-128, 0), (-128, -126)]))
    x = rng.integers(low, high, shape).astype(np.float32)
    op = ArgMax(name="y", inputs=("x",), axis=axis, keepdims=draw(st.booleans()))
    return [entry("x", x), op], {"x": x}


@st.composite
def embeddings(draw: DrawFn) -> Case:
    """Indices of every type and rank, as they come in or after they have been moved."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count, depth = draw(st.sampled_from([(1, 1), (7, 5), (300, 64), (3, 1000), (70000, 2)]))
    kind = draw(st.sampled_from([np.int32, np.int32, np.uint16, np.int16, np.uint32]))
    shape = tuple(draw(st.lists(st.integers(1, 6), max_size=4)))
    most = min(count, np.iinfo(kind).max)
    indices = rng.integers(0, most, shape).astype(kind)
    table = rng.integers(-130, 131, (count, depth)).astype(np.float32)
    moved: list[Op] = []
    if shape and draw(st.booleans()):
        part = Slice(
            name="part", inputs=("x",), starts=(0,) * len(shape),
            sizes=(max(1, shape[0] - 1), *shape[1:]), steps=(1,) * len(shape),
        )  # fmt: skip
        size = math.prod(part.sizes)
        moved = [part, Reshape(name="flat", inputs=("part",), shape=(size, 1))]
    op = Embedding(name="y", inputs=(moved[-1].name if moved else "x", "table"))
    return [entry("x", indices), *moved, op], {"x": indices, "table": table}


KINDS: dict[str, SearchStrategy[Case]] = {"argmax": argmaxes(), "embedding": embeddings()}


def quantised(cases: list[Case], spec: ChipSpec) -> tuple[Graph, dict[str, Array]]:
    """All cases side by side, at steps of 1, and what the program is fed with."""
    graph, feeds = Graph("cases"), {}
    for i, (ops, arrays) in enumerate(cases):
        graph.constants |= {f"{i}{k}": a for k, a in arrays.items() if k == "table"}
        feeds[f"{i}x"] = arrays["x"]
        for op in ops:
            graph.add(op.with_(name=f"{i}{op.name}", inputs=tuple(f"{i}{n}" for n in op.inputs)))
    graph.outputs = tuple(f"{i}y" for i in range(len(cases)))
    steps = CalibrationTable({op.name: Threshold(127.0, -127.0, 127.0) for op in graph.ops})
    made = Int8Scheme().quantize(
        graph, steps, PrecisionPlan(), chip(spec.name), outputs_type="int8"
    )
    for op in made.inputs:
        feeds[op.name] = feeds[op.name].astype(op.type.dtype.numpy)
    return made, feeds


def assert_exact(graph: Graph, feeds: dict[str, Array], cases: list[Case]) -> None:
    """At steps of 1 the quantised graph gives what the float layers give."""
    got = evaluate(graph, feeds)
    for i, (ops, arrays) in enumerate(cases):
        values = dict(arrays)
        for op in ops[1:]:
            values[op.name] = op.evaluate(*(values[name] for name in op.inputs))
        wanted = values["y"]
        if isinstance(ops[-1], Embedding):
            wanted = np.clip(wanted, -128, 127)
        np.testing.assert_array_equal(got[f"{i}y"], wanted)


@with_cpu
@pytest.mark.parametrize("lane_bytes", [None, 2048])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("runner", ["simulator", pytest.param("vendor", marks=needs_vendor)])
def test_programs_give_the_bytes_of_the_graph(
    runner: str, kind: str, lane_bytes: int | None, spec: ChipSpec
) -> None:
    for cases in drawn(KINDS[kind], 30, batch=10):
        graph, feeds = quantised(cases, spec)
        assert_exact(graph, feeds, cases)
        check_program(graph, feeds, spec=spec, lane_bytes=lane_bytes, vendor=runner == "vendor")


def test_every_tensor_can_be_kept() -> None:
    """As the flow's own verification does."""
    for cases in drawn(st.one_of(*KINDS.values()), 12, batch=6):
        graph, feeds = quantised(cases, CHIPS[0])
        check_program(graph, feeds, spec=CHIPS[0], keep_tensors=True)
