"""Detection layers, from the float op to the vendor's runtime: equal to the bit."""

from __future__ import annotations

import numpy as np
import pytest
from program_runs import on_simulator, on_vendor

from chips import BY_NAME
from cvi.execute import evaluate
from cvi.plugins import chip
from cvi.precision import PrecisionPlan
from cvi_tpu.codegen.compile import compile_with_report
from cvi_tpu.quantized.scheme import Int8Scheme
from detection_nets import MAKERS, Nets, random_nets
from vendor_here import needs_vendor

pytestmark = [pytest.mark.vendor, needs_vendor]

COUNT = 5


def check(nets: Nets, name: str) -> list[float]:
    """All three floors agree; the share of results that are not empty."""
    quantised = Int8Scheme().quantize(
        nets.graph, nets.table, PrecisionPlan(), chip(name), inputs_type="int8"
    )
    compiled = compile_with_report(quantised, BY_NAME[name])
    want = evaluate(quantised, nets.feeds)
    ours, theirs = on_simulator(compiled, nets.feeds), on_vendor(compiled, nets.feeds)
    shares = []
    for output in nets.graph.outputs:
        np.testing.assert_array_equal(theirs[output], ours[output], err_msg=output)
        np.testing.assert_array_equal(want[output].ravel(), ours[output].ravel())
        shares.append(np.count_nonzero(theirs[output] > 0) / theirs[output].size)
    return shares


@pytest.mark.parametrize("name", ["cv183x", "cv182x", "cv181x"])
@pytest.mark.parametrize("layer", MAKERS)
def test_random_nets(layer: str, name: str) -> None:
    shares = check(random_nets(layer, seed=5, count=COUNT), name)
    assert max(shares) > 0.1  # something was compared
