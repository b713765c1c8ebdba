"""Scores that stay fp32 sums: the vendor's simulator and ours, on every chip."""

from __future__ import annotations

import numpy as np
import pytest
from program_runs import check_program

from chips import CHIPS
from cvi.execute import evaluate
from cvi.ir import Array, Graph, Input, Op, TensorType
from cvi.ops import AvgPool2d, FullyConnected, Reshape
from cvi_tpu.chip import ChipSpec
from cvi_tpu.family import make_chip
from cvi_tpu.quantized.ops import Fp32Conv, Fp32FromBf16
from cvi_tpu.quantized.scheme import Bf16Scheme
from vendor_here import VENDOR


def _random(*shape: int) -> Array:
    return np.random.default_rng(len(shape)).standard_normal(shape).astype(np.float32)


def _quantised(spec: ChipSpec, shape: tuple[int, ...], *ops: Op, **constants: Array) -> Graph:
    graph = Graph("scores", constants=constants)
    for op in (Input(name="x", type=TensorType(shape)), *ops):
        graph.add(op)
    graph.outputs = (ops[-1].name,)
    return Bf16Scheme().quantize(graph, None, None, make_chip(spec), inputs_type="fp32")


def _dense(bias: bool) -> Op:
    return FullyConnected(name="y", inputs=("x", "w", "b" if bias else ""))


@pytest.mark.parametrize("small", [False, True])
@pytest.mark.parametrize("spec", CHIPS, ids=lambda spec: spec.name)
@pytest.mark.parametrize(
    ("rows", "depth", "scores", "bias"),
    [(1, 1280, 1001, True), (3, 65, 70, True), (4, 7, 1, True), (2, 33, 40, False)],
)
def test_fully_connected(
    spec: ChipSpec, small: bool, rows: int, depth: int, scores: int, bias: bool
) -> None:
    w, b = _random(scores, depth), 20 + _random(scores)
    constants = {"w": w, "b": b} if bias else {"w": w}
    depth_fits = depth <= 100 or not small
    if not depth_fits:
        pytest.skip("the filter of one channel does not fit")
    graph = _quantised(spec, (rows, depth), _dense(bias), **constants)
    assert any(isinstance(op, Fp32Conv) for op in graph)
    assert not any(isinstance(op, Fp32FromBf16) for op in graph)
    x = _random(rows, depth)
    room = 2048 if small else None
    check_program(graph, {"x": x}, spec=spec, lane_bytes=room, vendor=VENDOR)


@pytest.mark.parametrize("spec", CHIPS, ids=lambda spec: spec.name)
@pytest.mark.parametrize("shape", [(1, 1000, 13, 13), (3, 5, 7, 9), (1, 3, 1, 1)])
def test_mean_of_images(spec: ChipSpec, shape: tuple[int, ...]) -> None:
    kernel = (shape[2], shape[3])
    pool = AvgPool2d(name="pool", inputs=("x",), kernel=kernel)
    flat = Reshape(name="y", inputs=("pool",), shape=shape[:2])
    graph = _quantised(spec, shape, pool, flat)
    assert any(isinstance(op, Fp32Conv) for op in graph)
    check_program(graph, {"x": 20 + _random(*shape)}, spec=spec, vendor=VENDOR)


def test_scores_keep_the_bits_of_fp32() -> None:
    w, b = _random(50, 64), 30 + _random(50)
    graph = _quantised(CHIPS[0], (2, 64), _dense(bias=True), w=w, b=b)
    x = _random(2, 64)
    found = evaluate(graph, {"x": x})[graph.outputs[0]]
    exact = (x.view(np.uint32) & 0xFFFF0000).view(np.float32) @ _nearest(w).T + b
    assert np.abs(found - exact).max() < 1e-4
    assert len(np.unique(found)) == found.size


def _nearest(values: Array) -> Array:
    from cvi_tpu.quantized import bf16

    return bf16.decode(bf16.encode(values))
