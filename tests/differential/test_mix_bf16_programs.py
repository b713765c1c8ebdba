"""What the rules of MIX_BF16 make of random layers gives, as a program, the bytes of the
quantised graph, on our simulator and on the vendor's; int8 weights become BF16 once."""

from __future__ import annotations

import numpy as np
import pytest
from drawn import drawn
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn
from program_runs import check_program

from chips import CHIPS, each_chip
from cvi.execute import evaluate
from cvi.flow.real import quantised_inputs
from cvi.ir import Array, DType, Graph, Input, Op, TensorType
from cvi.ops import Embedding, FullyConnected, MatMul
from cvi.plugins import chip
from cvi_tpu.chip import ChipSpec
from cvi_tpu.codegen.compile import Compiled, compile_with_report
from cvi_tpu.isa.instructions import Arith, ArithOp, Conv, Copy
from cvi_tpu.isa.operands import Dram, Local
from cvi_tpu.quantized import ops as q
from cvi_tpu.quantized.scheme import MixBf16Scheme
from vendor_here import needs_vendor

Case = tuple[Op, dict[str, Array]]
"""A layer that reads `x` and constants, and these."""

on_both = pytest.mark.parametrize(
    "runner", ["simulator", pytest.param("vendor", marks=needs_vendor)]
)


def reals(rng: np.random.Generator, *shape: int) -> Array:
    """Rows around points of their own, some of one value."""
    rows = (shape[0], *(1,) * (len(shape) - 1))
    spread = rng.choice([0, 0.01, 1, 30], rows)
    values = rng.standard_normal(shape) * spread + rng.standard_normal(rows)
    return values.astype(np.float32)


@st.composite
def products(draw: DrawFn) -> Case:
    """Fully connected layers, and products with a constant on either side."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    m, k, n = (draw(st.one_of(st.integers(1, 9), st.integers(10, 250))) for _ in range(3))
    lead = draw(st.sampled_from([(), (2,), (2, 3)]))
    relu = draw(st.booleans())
    side = draw(st.sampled_from(["fc", "fc", "right", "left"]))
    if side == "fc":
        bias = rng.standard_normal(n).astype(np.float32)
        layer: Op = FullyConnected(name="y", inputs=("x", "w", "b"), relu=relu)
        return layer, {"x": reals(rng, m, k), "w": reals(rng, n, k), "b": bias}
    if side == "right":
        layer = MatMul(name="y", inputs=("x", "w"), relu=relu)
        return layer, {"x": reals(rng, *lead, m % 10 + 1, k), "w": reals(rng, k, n)}
    layer = MatMul(name="y", inputs=("w", "x"), relu=relu)
    return layer, {"x": reals(rng, *lead, k, n % 30 + 1), "w": reals(rng, m, k)}


@st.composite
def embeddings(draw: DrawFn) -> Case:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count, depth = draw(st.sampled_from([(1, 1), (7, 5), (300, 64), (3, 1000)]))
    shape = tuple(draw(st.lists(st.integers(1, 6), max_size=3)))
    indices = rng.integers(0, count, shape).astype(np.int32)
    return Embedding(name="y", inputs=("x", "w")), {"x": indices, "w": reals(rng, count, depth)}


def mixed(cases: list[Case], spec: ChipSpec) -> tuple[Graph, dict[str, Array]]:
    """All cases side by side, and what the program is fed with."""
    graph, feeds = Graph("cases"), {}
    for i, (op, arrays) in enumerate(cases):
        graph.constants |= {f"{i}{k}": a for k, a in arrays.items() if k != "x"}
        x = feeds[f"{i}x"] = arrays["x"]
        graph.add(Input(name=f"{i}x", type=TensorType(x.shape, DType.of(x))))
        graph.add(op.with_(name=f"{i}y", inputs=tuple(n and f"{i}{n}" for n in op.inputs)))
    graph.outputs = tuple(f"{i}y" for i in range(len(cases)))
    scheme, on = MixBf16Scheme(), chip(spec.name)
    assert not scheme.notes(graph, on)
    made = scheme.quantize(graph, None, None, on, outputs_type="bf16")
    return made, quantised_inputs(made, feeds)


@each_chip
@pytest.mark.parametrize("lane_bytes", [None, 2048])
@on_both
def test_products_give_the_bytes_of_the_graph(
    runner: str, lane_bytes: int | None, spec: ChipSpec
) -> None:
    for cases in drawn(products(), 8, batch=8):
        graph, feeds = mixed(cases, spec)
        assert sum(isinstance(op, q.Bf16Conv2d) and op.is_mixed for op in graph.ops) == len(cases)
        check_program(graph, feeds, spec=spec, lane_bytes=lane_bytes, vendor=runner == "vendor")


@each_chip
@on_both
def test_layers_that_one_pass_cannot_take(runner: str, spec: ChipSpec) -> None:
    """A convolution has at most 4063 input channels (FACTS_TPU 1)."""
    rng = np.random.default_rng(0)
    layer = FullyConnected(name="y", inputs=("x", "w", ""))
    cases: list[Case] = [
        (layer, {"x": reals(rng, 1, depth), "w": reals(rng, 3, depth)})
        for depth in (4063, 4064, 4095, 8130)
    ]
    graph, feeds = mixed(cases, spec)
    steps = [op.step for op in graph.ops if isinstance(op, q.Bf16Conv2d)]
    assert 0 not in steps[1:]
    check_program(graph, feeds, spec=spec, vendor=runner == "vendor")


@pytest.mark.parametrize("spec", [s for s in CHIPS if s.has_cpu_functions], ids=lambda s: s.name)
@on_both
def test_tables_give_the_bytes_of_the_graph(runner: str, spec: ChipSpec) -> None:
    for cases in drawn(embeddings(), 8, batch=8):
        graph, feeds = mixed(cases, spec)
        check_program(graph, feeds, spec=spec, vendor=runner == "vendor")


def two_layers(rows: int, wide: int, taps: int = 1) -> Graph:
    """Two fully connected layers with int8 weights, one behind the other."""
    rng, graph = np.random.default_rng(0), Graph("two")
    last = graph.add(Input(name="x", type=TensorType((rows, wide, 1, taps), DType.BF16))).name
    for name, shape in {"a": (40, wide, 1, taps), "y": (7, 40, 1, 1)}.items():
        weight = rng.integers(-128, 128, shape).astype(np.int8)
        scale, zero = rng.integers(0x3C00, 0x3D00, (2, shape[0])).astype(np.uint16)
        names = [graph.constant(f"{name}_{i}", c) for i, c in enumerate((weight, scale, zero))]
        op = q.Bf16Conv2d(name=name, inputs=(last, names[0], "", *names[1:]))
        last = graph.add(op).name
    graph.outputs = ("y",)
    return graph


def feeds_of(graph: Graph) -> dict[str, Array]:
    x = graph.inputs[0]
    patterns = np.random.default_rng(1).integers(0x3F00, 0x4000, x.type.shape)
    return {x.name: patterns.astype(np.uint16)}


@each_chip
@on_both
def test_rows_may_be_longer_than_an_instruction(runner: str, spec: ChipSpec) -> None:
    """The engine takes rows of up to 4063 elements."""
    graph = two_layers(1, 1024, taps=4)
    compiled = check_program(graph, feeds_of(graph), spec=spec, vendor=runner == "vendor")
    loads = sum(map(converts, instructions(compiled)))
    assert count(compiled, ArithOp.MUL) == count(compiled, ArithOp.ADD) > loads


@each_chip
@pytest.mark.parametrize(("lane_bytes", "fuse"), [(None, True), (None, False), (2048, False)])
def test_weights_that_stay_are_made_once(
    lane_bytes: int | None, fuse: bool, spec: ChipSpec
) -> None:
    """However many rows are computed with them, in a group of layers or each by itself."""
    graph = two_layers(2 if fuse else 100, 64)
    compiled = compile_with_report(graph, spec, lane_bytes=lane_bytes, fuse=fuse)
    loads = sum(map(converts, instructions(compiled)))
    assert count(compiled, ArithOp.MUL) == count(compiled, ArithOp.ADD) == loads
    products = sum(isinstance(one, Conv) for one in instructions(compiled))
    assert 2 <= loads < products


def instructions(compiled: Compiled) -> list[object]:
    return [command.instruction for part in compiled.commands for command in part]


def converts(one: object) -> bool:
    """Whether this is a load of integers as BF16."""
    return (
        isinstance(one, Copy)
        and isinstance(one.source, Dram)
        and isinstance(one.target, Local)
        and (one.source.bf16, one.target.bf16) == (False, True)
    )


def count(compiled: Compiled, kind: ArithOp) -> int:
    return sum(isinstance(one, Arith) and one.op is kind for one in instructions(compiled))


def test_a_layer_takes_half_the_room() -> None:
    graph = two_layers(1, 4000)
    rng = np.random.default_rng(0)
    wide = two_layers(1, 4000)
    wide.constants["a_0"] = rng.integers(0, 0x3F00, (40, 4000, 1, 1)).astype(np.uint16)
    plain = wide["a"].with_(inputs=("x", "a_0", ""))
    replaced = Graph("plain", constants=wide.constants)
    for op in (wide["x"], plain, wide["y"]):
        replaced.add(op)
    replaced.outputs = ("y",)
    small, large = (len(compile_with_report(g, CHIPS[0]).data) for g in (graph, replaced))
    assert 0.5 < small / large < 0.55
    assert evaluate(graph, feeds_of(graph))["y"].size == 7
