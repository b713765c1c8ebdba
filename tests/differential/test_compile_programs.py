"""Random networks, compiled and run, give the bytes that their ops define."""

from __future__ import annotations

import numpy as np
import pytest
from compile_cases import random_network
from program_runs import check_program, on_vendor

from cvi.execute import evaluate
from cvi.ir import DType, Graph, Input, TensorType
from cvi_chip_cv183x.spec import CV183X
from cvi_tpu.codegen.compile import compile_with_report
from cvi_tpu.quantized.ops import CpuSoftmax, Dequantize
from vendor_here import needs_vendor


@pytest.mark.parametrize("keep_tensors", [False, True])
@pytest.mark.parametrize("seed", range(60))
def test_simulator_runs_random_networks(seed: int, keep_tensors: bool) -> None:
    graph, feeds = random_network(seed)
    check_program(graph, feeds, keep_tensors=keep_tensors)


@needs_vendor
@pytest.mark.vendor
@pytest.mark.parametrize("keep_tensors", [False, True])
@pytest.mark.parametrize("seed", range(100, 125))
def test_vendor_runs_random_networks(seed: int, keep_tensors: bool) -> None:
    graph, feeds = random_network(seed)
    check_program(graph, feeds, keep_tensors=keep_tensors, vendor=True)


@pytest.mark.parametrize("seed", range(200, 215))
def test_little_local_memory(seed: int) -> None:
    graph, feeds = random_network(seed, size=25)
    check_program(graph, feeds, lane_bytes=2048)


@needs_vendor
@pytest.mark.vendor
@pytest.mark.parametrize(
    ("shape", "axis"),
    [((1, 10), 1), ((2, 3, 4, 5), 2), ((2, 3, 4, 5), 0), ((7,), 0), ((2, 3, 2, 4, 5), 3),
     ((1, 3, 2, 1, 4, 5), 5)],
)  # fmt: skip
def test_softmax_runs_along_its_axis(shape: tuple[int, ...], axis: int) -> None:
    """The runtime may take another number than a row's maximum from it before exp, hence
    the tolerance of some units in the last place."""
    graph = Graph("softmax")
    graph.add(Input(name="x", type=TensorType(shape, DType.INT8, 0.1)))
    graph.add(Dequantize(name="d", inputs=("x",), scale=0.1))
    graph.add(CpuSoftmax(name="y", inputs=("d",), axis=axis))
    graph.outputs = ("y",)
    feeds = {"x": np.random.default_rng(1).integers(-128, 128, shape).astype(np.int8)}
    got = on_vendor(compile_with_report(graph, CV183X), feeds)["y"]
    np.testing.assert_allclose(got.reshape(shape), evaluate(graph, feeds)["y"], rtol=5e-6)
