"""BF16 kernels, compiled and run, give the bytes that the quantised ops define: on the
vendor's simulator and on ours under several interleavings of the two engines, with all of
local memory and with 2 KiB per lane. The benchmark `random_cases` runs more cases."""

from __future__ import annotations

from itertools import chain

import pytest
from bf16_cases import BF16_KERNELS
from drawn import drawn
from kernel_cases import case_graph
from program_runs import on_vendor
from test_kernel_programs import ORDERS, assert_equal

from chips import each_chip
from cvi.execute import evaluate
from cvi_tpu.chip import ChipSpec
from cvi_tpu.codegen.compile import compile_with_report
from cvi_tpu.isa.hazards import find_races
from cvi_tpu.model import read
from cvi_tpu.runtime import Runtime
from vendor_here import needs_vendor

CASES = 3
"""Cases of a kernel on a chip."""


@each_chip
@pytest.mark.parametrize("lane_bytes", [None, 2048])
@pytest.mark.parametrize("kind", BF16_KERNELS)
def test_simulator_gives_the_ops_bytes_in_any_order(
    kind: str, lane_bytes: int | None, spec: ChipSpec
) -> None:
    for cases in drawn(BF16_KERNELS[kind], CASES, batch=CASES):
        graph, feeds = case_graph(cases, lanes=spec.lanes)
        compiled = compile_with_report(graph, spec, lane_bytes=lane_bytes)
        assert not list(chain(*(find_races(c, spec) for c in compiled.commands)))
        want = evaluate(graph, feeds)
        for schedule, seed in ORDERS:
            runtime = Runtime(read(compiled.data), spec=spec, schedule=schedule, seed=seed)
            assert_equal(cases, want, runtime.run(feeds))


@needs_vendor
@pytest.mark.vendor
@each_chip
@pytest.mark.parametrize("lane_bytes", [None, 2048])
@pytest.mark.parametrize("kind", BF16_KERNELS)
def test_vendor_gives_the_ops_bytes(kind: str, lane_bytes: int | None, spec: ChipSpec) -> None:
    for cases in drawn(BF16_KERNELS[kind], CASES, batch=CASES):
        graph, feeds = case_graph(cases, lanes=spec.lanes)
        compiled = compile_with_report(graph, spec, lane_bytes=lane_bytes)
        assert_equal(cases, evaluate(graph, feeds), on_vendor(compiled, feeds))
