"""Matrix products whose factors and results are parts of other tensors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from program_runs import check_program

from chips import BY_NAME, each_chip
from cvi.ir import DType, Graph, Input, TensorType
from cvi.ops import Concat, Permute, Reshape, Slice
from cvi_tpu.chip import ChipSpec
from cvi_tpu.codegen.compile import compile_with_report
from cvi_tpu.quantized.ops import Int8MatMul, Int8Requant
from vendor_here import needs_vendor

HEADS, TOKENS, WIDTH = 3, 50, 20


def attention(tokens: int) -> Graph:
    """Heads cut out of one tensor, q @ k' @ v, and the heads joined again, between layers
    that keep them from being inputs and outputs of the network."""
    graph = Graph("attention")
    shape = (3, HEADS, tokens, WIDTH)
    graph.add(Input(name="x", type=TensorType(shape, DType.INT8, 1.0)))
    halved = Int8Requant(
        name="y", inputs=("x",), out_scale=1.0, weight=64, multiplier=2**30, shift=6
    )
    graph.add(halved)
    for i, name in enumerate("qkv"):
        sizes = (1, *shape[1:])
        cut = Slice(name=name, inputs=("y",), starts=(i, 0, 0, 0), sizes=sizes, steps=(1,) * 4)
        graph.add(cut)
    graph.add(Permute(name="turned", inputs=("k",), order=(0, 1, 3, 2)))
    scores = Int8MatMul(
        name="scores", inputs=("q", "turned"), out_scale=1.0, multiplier=2**30, shift=7
    )
    graph.add(scores)
    graph.add(scores.with_(name="mixed", inputs=("scores", "v"), shift=8))
    graph.add(Concat(name="both", inputs=("mixed", "v"), axis=3))
    graph.add(Reshape(name="flat", inputs=("both",), shape=(HEADS * tokens, 2 * WIDTH)))
    graph.add(halved.with_(name="z", inputs=("flat",)))
    graph.outputs = ("z",)
    return graph


@each_chip
@pytest.mark.parametrize("lane_bytes", [None, 2048])
@pytest.mark.parametrize("runner", ["simulator", pytest.param("vendor", marks=needs_vendor)])
def test_attention_on_parts_of_tensors(spec: ChipSpec, lane_bytes: int | None, runner: str) -> None:
    graph = attention(TOKENS)
    x = np.random.default_rng(0).integers(-128, 128, graph["x"].type.shape).astype(np.int8)
    check_program(graph, {"x": x}, spec=spec, lane_bytes=lane_bytes, vendor=runner == "vendor")


def product(rows: int, depth: int, columns: int) -> Graph:
    graph = Graph("product")
    for name, shape in (("a", (rows, depth)), ("b", (depth, columns))):
        graph.add(Input(name=name, type=TensorType(shape, DType.INT8, 1.0)))
    graph.add(Int8MatMul(name="y", inputs=("a", "b"), out_scale=1.0, multiplier=2**30, shift=8))
    graph.outputs = ("y",)
    return graph


def test_a_plan_keeps_to_the_commands_that_a_routine_holds() -> None:
    """Where double buffering takes more commands than there may be, it is left out."""
    spec, graph = BY_NAME["cv180x"], product(128, 500, 128)
    free = compile_with_report(graph, spec, lane_bytes=8192).report.tiu_commands
    bound = replace(spec, stream_bytes=((free - 1) * spec.tiu.size, spec.stream_bytes[1]))
    assert compile_with_report(graph, bound, lane_bytes=8192).report.tiu_commands < free
