"""BF16 kernels, compiled and run, give the bytes that the quantised ops define: on the
vendor's simulator and on ours under several interleavings of the two engines, with all of
local memory and with 2 KiB per lane. The benchmark `random_cases` runs more cases."""

from __future__ import annotations

import pytest
from bf16_cases import BF16_KERNELS
from drawn import drawn
from kernel_checks import check_simulator, check_vendor

from chips import each_chip
from cvi_tpu.chip import ChipSpec
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
        check_simulator(cases, spec, lane_bytes)


@needs_vendor
@pytest.mark.vendor
@each_chip
@pytest.mark.parametrize("lane_bytes", [None, 2048])
@pytest.mark.parametrize("kind", BF16_KERNELS)
def test_vendor_gives_the_ops_bytes(kind: str, lane_bytes: int | None, spec: ChipSpec) -> None:
    for cases in drawn(BF16_KERNELS[kind], CASES, batch=CASES):
        check_vendor(cases, spec, lane_bytes)
