"""Compute kernels, compiled and run, give the bytes that the quantised ops define.

Each kernel meets a hundred random cases on the CV183x and twenty on every other chip (the
benchmark `random_cases` runs more), with all of local memory and with 2 KiB per lane,
on the vendor's simulator and on ours under several interleavings of the two engines.
"""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest
from drawn import drawn
from kernel_cases import KERNELS, Case, case_graph
from program_runs import on_vendor

from chips import each_chip
from cvi.execute import evaluate
from cvi.ir import Array
from cvi_chip_cv183x.spec import CV183X
from cvi_tpu.chip import ChipSpec
from cvi_tpu.codegen.compile import compile_with_report
from cvi_tpu.isa.hazards import find_races
from cvi_tpu.model import read
from cvi_tpu.runtime import Runtime
from cvi_tpu.sim.schedule import Schedule
from vendor_here import needs_vendor

MANY, FEWER = 100, 20

ORDERS = [(Schedule.PROGRAM, 0), (Schedule.TDMA_FIRST, 0), (Schedule.RANDOM, 1)]


def assert_equal(cases: list[Case], want: dict[str, Array], got: dict[str, Array]) -> None:
    wrong = [
        f"{np.count_nonzero(got[f'y{i}'].ravel() != want[f'y{i}'].ravel())} bytes of {case}"
        for i, case in enumerate(cases)
        if not np.array_equal(got[f"y{i}"].ravel(), want[f"y{i}"].ravel())
    ]
    assert not wrong, "\n".join(wrong)


@each_chip
@pytest.mark.parametrize("lane_bytes", [None, 2048])
@pytest.mark.parametrize("kind", KERNELS)
def test_simulator_gives_the_ops_bytes_in_any_order(
    kind: str, lane_bytes: int | None, spec: ChipSpec
) -> None:
    for cases in drawn(KERNELS[kind], 24 if spec is CV183X else 8, batch=8):
        graph, feeds = case_graph(cases)
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
@pytest.mark.parametrize("kind", KERNELS)
def test_vendor_gives_the_ops_bytes(kind: str, lane_bytes: int | None, spec: ChipSpec) -> None:
    for cases in drawn(KERNELS[kind], MANY if spec is CV183X else FEWER):
        graph, feeds = case_graph(cases)
        compiled = compile_with_report(graph, spec, lane_bytes=lane_bytes)
        assert_equal(cases, evaluate(graph, feeds), on_vendor(compiled, feeds))
