"""Shapes at the edge of what an instruction's fields hold."""

from __future__ import annotations

import numpy as np
import pytest
from kernel_cases import Case, case_graph, rates
from program_runs import check_program

from chips import each_chip
from cvi_tpu.chip import ChipSpec
from cvi_tpu.quantized import ops as q
from vendor_here import needs_vendor

TABLE = {"table": np.arange(-128, 128).astype(np.int8)}


def deep(channels: int) -> Case:
    """A convolution of so many input channels."""
    rng = np.random.default_rng(channels)
    weight = rng.integers(-127, 128, (5, channels, 1, 1)).astype(np.int8)
    constants = {"weight": weight} | rates(rng, 5, channels)
    return Case(q.Int8Conv2d, ((1, channels, 1, 1),), {}, constants)


EXTREMES = {
    "a lane's share of more than 65535 bytes": Case(q.Int8Lut, ((1, 16, 416, 416),), {}, TABLE),
    "wider than an instruction": Case(
        q.Int8MaxPool2d, ((1, 2, 3, 9001),), {"kernel": (2, 2), "stride": (1, 2)}
    ),
    "taller than an instruction": Case(
        q.Int8MaxPool2d, ((1, 2, 9001, 3),), {"kernel": (3, 1), "stride": (2, 1)}
    ),
    "more channels than an instruction": Case(
        q.Int8Clip, ((1, 9000, 1, 1),), {"minimum": 0, "maximum": 127}
    ),
    "an odd number of input channels, one less than too many": deep(4063),
    "more input channels than a convolution": deep(4064),
}


@pytest.mark.parametrize("name", EXTREMES)
def test_simulator_runs(name: str) -> None:
    check_program(*case_graph([EXTREMES[name]]))


@needs_vendor
@pytest.mark.vendor
@pytest.mark.parametrize("name", EXTREMES)
def test_vendor_runs(name: str) -> None:
    check_program(*case_graph([EXTREMES[name]]), vendor=True)


@needs_vendor
@pytest.mark.vendor
@each_chip
def test_vendor_dilates_as_far_as_we_say(spec: ChipSpec) -> None:
    far = spec.max_dilation
    rng = np.random.default_rng(5)
    constants = {"weight": rng.integers(-127, 128, (8, 8, 3, 3)).astype(np.int8)}
    attributes = {"dilation": (far, far), "pads": (far - 1,) * 4}
    case = Case(q.Int8Conv2d, ((1, 8, 36, 35),), attributes, constants | rates(rng, 8, 72))
    check_program(*case_graph([case]), spec=spec, vendor=True)
