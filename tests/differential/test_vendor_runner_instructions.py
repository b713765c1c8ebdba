"""Random instructions on our simulator and on the vendor's: all of local memory is equal
afterwards."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from local_programs import local_program, needs_vendor, save
from random_instructions import KINDS, legal, memory_with_records

from cvi_chip_cv183x.spec import CV183X
from cvi_runner_vendor.session import Session
from cvi_tpu.model import read
from cvi_tpu.runtime import Runtime
from cvi_tpu.sim import Schedule

pytestmark = [pytest.mark.vendor, needs_vendor]


@pytest.mark.parametrize("kind", KINDS)
def test_same_local_memory(kind: str, tmp_path: Path) -> None:
    data = local_program(list(legal(kind, seed=1, count=25)))
    memory = memory_with_records(2)
    with Session(save(tmp_path, data), timeout=60) as session:
        want = session.run({"in": memory})["out"]
    assert not np.array_equal(want, memory)
    for schedule in (Schedule.TIU_FIRST, Schedule.TDMA_FIRST):
        runtime = Runtime(read(data), spec=CV183X, schedule=schedule)
        np.testing.assert_array_equal(runtime.run({"in": memory})["out"], want)
