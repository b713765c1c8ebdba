"""Compute kernels, compiled and run, give the bytes that the quantised ops define.

Each kernel meets a hundred random cases on the CV183x and twenty on every other chip (the
benchmark `random_cases` runs more), with all of local memory and with 2 KiB per lane,
on the vendor's simulator and on ours under several interleavings of the two engines.
"""

from __future__ import annotations

import pytest
from drawn import drawn
from kernel_cases import KERNELS
from kernel_checks import check_simulator, check_vendor

from chips import each_chip
from cvi_chip_cv183x.spec import CV183X
from cvi_tpu.chip import ChipSpec
from vendor_here import needs_vendor

MANY, FEWER = 100, 20


@each_chip
@pytest.mark.parametrize("lane_bytes", [None, 2048])
@pytest.mark.parametrize("kind", KERNELS)
def test_simulator_gives_the_ops_bytes_in_any_order(
    kind: str, lane_bytes: int | None, spec: ChipSpec
) -> None:
    for cases in drawn(KERNELS[kind], 24 if spec is CV183X else 8, batch=8):
        check_simulator(cases, spec, lane_bytes)


@needs_vendor
@pytest.mark.vendor
@each_chip
@pytest.mark.parametrize("lane_bytes", [None, 2048])
@pytest.mark.parametrize("kind", KERNELS)
def test_vendor_gives_the_ops_bytes(kind: str, lane_bytes: int | None, spec: ChipSpec) -> None:
    for cases in drawn(KERNELS[kind], MANY if spec is CV183X else FEWER):
        check_vendor(cases, spec, lane_bytes)
