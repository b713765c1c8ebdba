"""Random instructions on our simulator and on the vendor's: after each of them local memory
is equal from where results lie on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from local_programs import save, tracing_program
from random_instructions import RESULTS, kinds, legal, memory_with_records

from chips import CHIPS
from cvi_runner_vendor.session import Session
from cvi_tpu.chip import ChipSpec
from cvi_tpu.model import read
from cvi_tpu.runtime import Runtime
from cvi_tpu.sim import Schedule
from vendor_here import needs_vendor

pytestmark = [pytest.mark.vendor, needs_vendor]


CASES = [(spec, kind) for spec in CHIPS for kind in kinds(spec)]


@pytest.mark.parametrize(("spec", "kind"), CASES, ids=lambda p: getattr(p, "name", p))
def test_same_local_memory(spec: ChipSpec, kind: str, tmp_path: Path) -> None:
    data = tracing_program(list(legal(kind, spec, seed=1, count=25)), spec, RESULTS)
    memory = memory_with_records(2, spec)
    with Session(save(tmp_path, data), timeout=60) as session:
        want = session.run({"in": memory})["out"]
    assert (want[1:] != want[:-1]).any(axis=(1, 2, 3)).mean() > 0.1
    for schedule in (Schedule.TIU_FIRST, Schedule.TDMA_FIRST):
        runtime = Runtime(read(data), spec=spec, schedule=schedule)
        np.testing.assert_array_equal(runtime.run({"in": memory})["out"], want)
