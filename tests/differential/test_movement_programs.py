"""Movement ops, compiled and run, give the bytes that the ops define."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from movement_cases import MOVEMENT, side_by_side
from program_runs import check_program, needs_vendor

BATCH = 12
"""Cases that share a program, because starting the vendor's runtime takes a while."""

QUIET = settings(
    derandomize=True,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)
"""Without shrinking, which would take hours at a process for every attempt."""


@needs_vendor
@pytest.mark.vendor
@pytest.mark.parametrize("lane_bytes", [None, 2048])
@pytest.mark.parametrize("kind", MOVEMENT)
def test_vendor_moves_as_the_op_says(kind: str, lane_bytes: int | None) -> None:
    cases = st.lists(MOVEMENT[kind], min_size=BATCH, max_size=BATCH)

    @settings(QUIET, max_examples=9 if lane_bytes is None else 3)
    @given(cases, st.integers(0, 999))
    def run(drawn: list, seed: int) -> None:  # type: ignore[type-arg]
        graph, feeds = side_by_side(drawn, seed)
        check_program(graph, feeds, lane_bytes=lane_bytes, vendor=True)

    run()


@pytest.mark.parametrize("kind", MOVEMENT)
def test_simulator_moves_as_the_op_says(kind: str) -> None:
    @settings(QUIET, max_examples=25)
    @given(MOVEMENT[kind], st.sampled_from([None, 2048]), st.integers(0, 999))
    def run(drawn, lane_bytes, seed) -> None:  # type: ignore[no-untyped-def]
        graph, feeds = side_by_side([drawn], seed)
        check_program(graph, feeds, lane_bytes=lane_bytes)

    run()
