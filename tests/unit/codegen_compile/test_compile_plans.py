"""Ops share a plan only when they load the same kinds of things."""

from __future__ import annotations

import numpy as np
import pytest

from cvi.ir import DType, Graph, Input, TensorType
from cvi_chip_cv183x.spec import CV183X
from cvi_tpu.codegen.compile import compile_graph
from cvi_tpu.quantized.ops import Bf16Conv2d

KINDS = ("plain", "bias", "int8", "int8 and bias")


@pytest.mark.parametrize("first", KINDS)
@pytest.mark.parametrize("second", KINDS)
@pytest.mark.parametrize("group", [1, 8])
def test_convolutions_of_equal_shape(first: str, second: str, group: int) -> None:
    if group > 1 and "int8" in first + second:
        pytest.skip("depthwise weights are never int8")
    graph = Graph("net")
    last = graph.add(Input(name="x", type=TensorType((1, 8, 4, 4), DType.BF16))).name
    for name, kind in {"a": first, "b": second}.items():
        int8 = "int8" in kind
        weight = np.zeros((8, 8 // group, 1, 1), np.int8 if int8 else np.uint16)
        rows = np.zeros((2, 8), np.uint16) if int8 else ()
        bias = graph.constant(f"{name}_bias", np.zeros(8, np.float32)) if "bias" in kind else ""
        inputs = (last, graph.constant(f"{name}_weight", weight), bias)
        more = tuple(graph.constant(f"{name}_{i}", row) for i, row in enumerate(rows))
        last = graph.add(Bf16Conv2d(name=name, inputs=(*inputs, *more), group=group)).name
    graph.outputs = (last,)
    compile_graph(graph, CV183X, fuse=False)
