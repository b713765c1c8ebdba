"""Damaged commands: our simulator gives a result or one error, whatever the bits."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from local_programs import local_program
from random_instructions import kinds, legal, memory_with_records

from cvi.errors import CviError
from cvi_chip_cv182x.spec import CV182X
from cvi_chip_cv183x.spec import CV183X
from cvi_tpu.chip import ChipSpec
from cvi_tpu.model import read
from cvi_tpu.runtime import Runtime

MUTANTS = 100


CASES = [(spec, kind) for spec in (CV183X, CV182X) for kind in kinds(spec)]
"""One chip of each descriptor layout."""


@pytest.mark.parametrize(("spec", "kind"), CASES, ids=lambda p: getattr(p, "name", p))
def test_damaged_commands_are_errors_or_run(spec: ChipSpec, kind: str) -> None:
    model = read(local_program(list(legal(kind, spec, seed=5, count=3)), spec))
    section = model.sections[0]
    memory = memory_with_records(0, spec)
    refused = 0
    for seed in range(MUTANTS):
        chance = random.Random(seed)
        data = bytearray(section.data)
        for _ in range(chance.randint(1, 4)):
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        damaged = replace(model, sections=(replace(section, data=bytes(data)),))
        try:
            Runtime(damaged, spec=spec).run({"in": memory}, timeout=10)
        except CviError:
            refused += 1
    assert 0 < refused < MUTANTS
