"""Random cases of kernels, compiled and run, against the bytes that the quantised ops define."""

from __future__ import annotations

from itertools import chain

import numpy as np
from kernel_cases import Case, case_graph
from program_runs import on_vendor

from cvi.execute import evaluate
from cvi.ir import Array
from cvi_tpu.chip import ChipSpec
from cvi_tpu.codegen.compile import compile_with_report
from cvi_tpu.isa.hazards import find_races
from cvi_tpu.model import read
from cvi_tpu.runtime import Runtime
from cvi_tpu.sim.schedule import Schedule

ORDERS = [(Schedule.PROGRAM, 0), (Schedule.TDMA_FIRST, 0), (Schedule.RANDOM, 1)]


def check_simulator(cases: list[Case], spec: ChipSpec, lane_bytes: int | None) -> None:
    """On our simulator, under several interleavings of the two engines; no races."""
    graph, feeds = case_graph(cases, lanes=spec.lanes)
    compiled = compile_with_report(graph, spec, lane_bytes=lane_bytes)
    assert not list(chain(*(find_races(c, spec) for c in compiled.commands)))
    want = evaluate(graph, feeds)
    for schedule, seed in ORDERS:
        runtime = Runtime(read(compiled.data), spec=spec, schedule=schedule, seed=seed)
        assert_equal(cases, want, runtime.run(feeds))


def check_vendor(cases: list[Case], spec: ChipSpec, lane_bytes: int | None) -> None:
    """On the vendor's simulator."""
    graph, feeds = case_graph(cases, lanes=spec.lanes)
    compiled = compile_with_report(graph, spec, lane_bytes=lane_bytes)
    assert_equal(cases, evaluate(graph, feeds), on_vendor(compiled, feeds))


def assert_equal(cases: list[Case], want: dict[str, Array], got: dict[str, Array]) -> None:
    wrong = [
        f"{np.count_nonzero(got[f'y{i}'].ravel() != want[f'y{i}'].ravel())} bytes of {case}"
        for i, case in enumerate(cases)
        if not np.array_equal(got[f"y{i}"].ravel(), want[f"y{i}"].ravel())
    ]
    assert not wrong, "\n".join(wrong)
