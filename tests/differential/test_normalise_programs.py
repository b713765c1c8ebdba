"""Normalisation, unpooling and what else the rules compose of several quantised ops:
programs give the bytes of the quantised graph on every chip."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from program_runs import check_program

from chips import CHIPS
from cvi import plugins
from cvi.calibrate.calibrate import calibrate
from cvi.ir import Array, Graph, Input, TensorType
from cvi.ops import (
    Add,
    InstanceNorm,
    Lrn,
    MaxPool2d,
    Mul,
    Normalize,
    PoolMask,
    Reverse,
    Slice,
    Upsample,
)
from cvi.passes import simplify
from cvi.precision import PrecisionPlan
from cvi_chip_cv183x.spec import CV183X
from cvi_tpu.chip import ChipSpec
from vendor_here import needs_vendor

IMAGE = (2, 40, 9, 11)
SEGMENTS = (2, 8, 13, 10)


def layers(spec: ChipSpec) -> Graph:
    """Everything side by side, simplified."""
    graph, rng = Graph("layers"), np.random.default_rng(3)
    graph.add(Input(name="x", type=TensorType(IMAGE)))
    graph.add(Input(name="v", type=TensorType(SEGMENTS)))
    scale = graph.constant("s", rng.uniform(1, 20, IMAGE[1]).astype(np.float32))
    graph.add(Lrn(name="lrn", inputs=("x",), size=5, alpha=0.1, beta=0.75))
    graph.add(Lrn(name="pole", inputs=("x",), size=4, alpha=0.7, beta=0.5, k=1e-9))
    graph.add(Normalize(name="norm", inputs=("x", scale)))
    graph.add(Normalize(name="whole", inputs=("x", scale), across_spatial=True))
    outputs = ["lrn", "pole", "norm", "whole", "sum", "unpooled", "dilated"]
    graph.add(Reverse(name="turned", inputs=("x",), axis=3))
    graph.add(Add(name="sum", inputs=("turned", "x"), coefficients=(0.3, -1.7)))
    unpool(graph)
    pads = (2, 4, 1, 2)
    graph.add(MaxPool2d(name="dilated", inputs=("x",), kernel=(3, 3), pads=pads, dilation=(2, 3)))
    if spec.has_cpu_functions:
        parameters = (scale, graph.constant("b", rng.normal(size=IMAGE[1]).astype(np.float32)))
        graph.add(InstanceNorm(name="instance", inputs=("x", *parameters)))
        outputs.append("instance")
    graph.outputs = tuple(outputs)
    return simplify(graph)


def unpool(graph: Graph) -> None:
    """A pool and its inverse, the last blocks not whole, as in SegNet."""
    n, c, h, w = SEGMENTS
    graph.add(MaxPool2d(name="p", inputs=("v",), kernel=(2, 2), stride=(2, 2), pads=(0, 0, 1, 0)))
    graph.add(PoolMask(name="mask", inputs=("v",), size=(2, 2)))
    graph.add(Upsample(name="up", inputs=("p",), factors=(2, 2)))
    starts, ones = (0,) * 4, (1,) * 4
    graph.add(Slice(name="cut", inputs=("up",), starts=starts, sizes=(n, c, h, w), steps=ones))
    graph.add(Mul(name="unpooled", inputs=("cut", "mask")))


def features(seed: int) -> Mapping[str, Array]:
    """Pixels whose norms differ by magnitudes, one of them nothing but zeros."""
    rng = np.random.default_rng(seed)
    found = {}
    for name, shape in (("x", IMAGE), ("v", SEGMENTS)):
        pixels = np.exp(rng.normal(size=(1, 1, *shape[2:])))
        x = rng.normal(size=shape) * pixels
        x[:, :, 2, 3] = 0
        found[name] = x.astype(np.float32)
    return found


@needs_vendor
@pytest.mark.vendor
@pytest.mark.parametrize(
    ("spec", "lane_bytes"), [*((spec, None) for spec in CHIPS), (CV183X, 2048)]
)
def test_vendor_gives_the_bytes_of_the_quantised_graph(
    spec: ChipSpec, lane_bytes: int | None
) -> None:
    graph = layers(spec)
    table = calibrate(graph, [features(0)], method="max")
    quantised = plugins.scheme("int8").quantize(
        graph,
        table,
        PrecisionPlan(),
        plugins.chip(spec.name),
        inputs_type="int8",
        outputs_type="int8",
    )
    feeds = {}
    for op in quantised.inputs:
        assert op.type.scale is not None
        steps = np.rint(features(1)[op.name] / op.type.scale)
        feeds[op.name] = np.clip(steps, -128, 127).astype(np.int8)
    check_program(quantised, feeds, spec=spec, lane_bytes=lane_bytes, vendor=True)
    check_program(quantised, feeds, spec=spec, lane_bytes=lane_bytes, keep_tensors=True)
