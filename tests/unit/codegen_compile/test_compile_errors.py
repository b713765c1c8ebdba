"""What cannot be compiled is refused with the name of the layer."""

from __future__ import annotations

import numpy as np
import pytest

from cvi.errors import UnsupportedError
from cvi.ir import DType, Graph, Input, TensorType
from cvi_chip_cv183x.spec import CV183X
from cvi_tpu.codegen.compile import compile_graph
from cvi_tpu.quantized.ops import Int8Conv2d


def test_a_window_too_large_for_local_memory_names_its_layer() -> None:
    graph = Graph("g")
    graph.add(Input(name="x", type=TensorType((1, 4, 40, 40), DType.INT8, 1.0)))
    graph.constants = {
        "w": np.ones((4, 4, 37, 37), np.int8),
        "m": np.full(4, 1 << 30, np.uint32),
        "s": np.full(4, 10, np.uint8),
    }
    graph.add(Int8Conv2d(name="wide", inputs=("x", "w", "", "m", "s"), out_scale=1.0))
    graph.outputs = ("wide",)
    with pytest.raises(UnsupportedError) as caught:
        compile_graph(graph, CV183X, lane_bytes=2048)
    assert caught.value.where == "layer wide"
    assert "local memory" in caught.value.why
    assert caught.value.fix
