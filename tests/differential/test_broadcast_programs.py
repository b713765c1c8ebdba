"""Arithmetic whose operands broadcast in more than four dimensions, as anchors of detectors
do: the program's bytes are those of the quantised op."""

from __future__ import annotations

import numpy as np
import pytest
from program_runs import check_program

from cvi.ir import DType, Graph, Input, Op, Shape, TensorType
from cvi_tpu.quantized.ops import Int8Add, Int8Max, Int8Mul
from vendor_here import needs_vendor

CASES: list[tuple[Shape, Shape]] = [
    ((1, 3, 8, 8, 2), (1, 3, 1, 1, 2)),
    ((2, 3, 8, 4, 2), (1, 3, 1, 1, 2)),
    ((1, 3, 8, 8, 2), (1, 1, 1, 1, 2)),
    ((1, 3, 8, 4, 2), (1, 1, 8, 4, 1)),
    ((1, 3, 8, 8, 2), (1, 3, 1, 8, 1)),
    ((2, 3, 2, 8, 2), (2, 1, 2, 1, 2)),
    ((2, 3, 5, 4, 8, 2), (1, 3, 1, 4, 1, 2)),
    ((2, 1, 5, 1, 3, 2), (2, 4, 1, 2, 3, 1)),
]


def network(op: Op, x: Shape, k: Shape, *, constant: bool) -> tuple[Graph, dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    arrays = {
        name: rng.integers(-128, 128, shape).astype(np.int8) for name, shape in (("x", x), ("k", k))
    }
    graph = Graph("g")
    graph.add(Input(name="x", type=TensorType(x, DType.INT8, 1.0)))
    if constant:
        graph.constants["k"] = arrays.pop("k")
    else:
        graph.add(Input(name="k", type=TensorType(k, DType.INT8, 1.0)))
    graph.add(op)
    graph.outputs = (op.name,)
    return graph, arrays


@pytest.mark.parametrize("constant", [True, False])
@pytest.mark.parametrize(("x", "k"), CASES, ids=str)
@pytest.mark.parametrize("runner", ["simulator", pytest.param("vendor", marks=needs_vendor)])
def test_broadcasts(x: Shape, k: Shape, constant: bool, runner: str) -> None:
    y = {"name": "y", "inputs": ("x", "k"), "out_scale": 1.0}
    ops: list[Op] = [
        Int8Mul(**y, multiplier=1 << 30, shift=5),
        Int8Add(**y, multipliers=(3, 5), shift=3),
        Int8Max(**y),
    ]
    for op in ops if runner == "simulator" else ops[:1]:
        graph, feeds = network(op, x, k, constant=constant)
        check_program(graph, feeds, vendor=runner == "vendor")
