"""Random networks, compiled and run, give the bytes that their ops define."""

from __future__ import annotations

import pytest
from compile_cases import random_network
from program_runs import check_program, needs_vendor


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
