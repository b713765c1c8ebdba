"""Every kind of layer in BF16, from floats to floats, by the vendor's simulator and ours."""

from __future__ import annotations

import numpy as np
import pytest
from program_runs import check_program

from bf16_layers import LAYERS, random
from chips import CHIPS
from cvi.ir import Graph, Input, TensorType
from cvi_tpu.family import make_chip
from cvi_tpu.quantized.scheme import Bf16Scheme
from vendor_here import VENDOR

SHAPE = (1, 4, 8, 8)


@pytest.mark.parametrize("number", range(len(LAYERS)), ids=list(LAYERS))
def test_layer_is_computed_to_the_byte(number: int) -> None:
    """Every layer on one of the chips, in turn."""
    layers, constants = list(LAYERS.values())[number]
    spec = CHIPS[number % len(CHIPS)]
    graph = Graph("layer", constants={k: np.asarray(v, np.float32) for k, v in constants.items()})
    for op in (Input(name="x", type=TensorType(SHAPE)), *layers):
        graph.add(op)
    graph.outputs = (layers[-1].name,)
    quantised = Bf16Scheme().quantize(graph, None, None, make_chip(spec), inputs_type="fp32")
    check_program(quantised, {"x": random(*SHAPE)}, spec=spec, vendor=VENDOR)
