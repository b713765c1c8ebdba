"""Every kind of layer in BF16, from floats to floats, by the vendor's simulator and ours."""

from __future__ import annotations

import numpy as np
import pytest
from program_runs import check_program

from bf16_layers import LAYERS, random
from chips import CHIPS
from cvi import ops
from cvi.ir import Graph, Input, Op, TensorType
from cvi.ops.functions import COMPARISONS, FUNCTIONS
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


JUDGED: tuple[Op, ...] = (
    *(ops.Compare(name="", which=which, value=-1.3) for which in COMPARISONS),
    ops.Compare(name="", which="less_equal"),
    ops.ThresholdedRelu(name="", threshold=1.0),
    ops.Shrink(name="", threshold=0.5, bias=0.25),
    ops.Shrink(name="", threshold=0.5),
)
SEVERAL: dict[str, tuple[Op, ...]] = {
    "judged": JUDGED,
    "bent": tuple(ops.Elementary(name="", which=which) for which in list(FUNCTIONS)[:6]),
    "bent more": tuple(ops.Elementary(name="", which=which) for which in list(FUNCTIONS)[6:11]),
    "jumping": tuple(ops.Elementary(name="", which=which) for which in list(FUNCTIONS)[11:]),
}


@pytest.mark.parametrize("number", range(len(SEVERAL)), ids=list(SEVERAL))
def test_functions_of_numbers_of_all_sizes(number: int) -> None:
    """Of every 13th pattern there is: denormals, infinities and those that are no numbers too."""
    spec, kinds = CHIPS[number], list(SEVERAL.values())[number]
    shape = (1, 1, 71, 71)
    graph = Graph("functions")
    graph.add(Input(name="x", type=TensorType(shape)))
    for i, op in enumerate(kinds):
        graph.add(op.with_(name=f"y{i}", inputs=("x",)))
    graph.outputs = tuple(f"y{i}" for i in range(len(kinds)))
    types = {"inputs_type": "bf16", "outputs_type": "bf16"}
    quantised = Bf16Scheme().quantize(graph, None, None, make_chip(spec), **types)
    (entry,) = quantised.inputs
    x = np.arange(0, 13 * 71 * 71, 13).astype(np.uint16).reshape(shape)
    check_program(quantised, {entry.name: x}, spec=spec, vendor=VENDOR)
