"""Damaged calls that we accept: the vendor's runtime accepts them and gives the same."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from local_programs import save

from cpu_cases import INPUT, Case, model_of, settled
from cpu_mutants import mutant
from cpu_random import MAKERS
from cvi.errors import CviError
from cvi_chip_cv183x.spec import CV183X
from cvi_runner_vendor.runner import VendorRunner
from cvi_tpu.model import write
from cvi_tpu.runtime import Runtime
from vendor_here import needs_vendor

pytestmark = [pytest.mark.vendor, needs_vendor]


def accepted(name: str, seed: int) -> list[Case]:
    """Mutants of random calls that our runtime does not refuse."""
    made, rng = np.random.default_rng(seed), random.Random(f"{name}{seed}")
    cases = []
    for _ in range(20):
        case = MAKERS[name](made)
        for changed in [mutant(case, rng) for _ in range(8)]:
            try:
                Runtime(model_of([changed]), spec=CV183X).run(INPUT)
            except CviError:
                continue
            cases.append(changed)
    return cases


@pytest.mark.parametrize("name", MAKERS)
def test_accepted_mutants_give_the_vendors_bytes(tmp_path: Path, name: str) -> None:
    cases = accepted(name, 2)
    assert len(cases) > 10
    model = model_of(cases)
    ours = Runtime(model, spec=CV183X).run(INPUT, all_tensors=True)
    path = save(tmp_path, write(model))
    theirs = VendorRunner().run(path, INPUT, all_tensors=True, timeout=60)
    for key, value in theirs.items():
        case = cases[int(key.split("/")[0])] if "/" in key else None
        np.testing.assert_array_equal(
            ours[key], settled(case, value, ours[key]), err_msg=f"{key} of {case}"
        )
