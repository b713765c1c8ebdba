"""Damaged commands: our simulator gives a result or one error, whatever the bits."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from local_programs import local_program
from random_instructions import KINDS, legal, memory_with_records

from cvi.errors import CviError
from cvi_chip_cv183x.spec import CV183X
from cvi_tpu.model import read
from cvi_tpu.runtime import Runtime

MUTANTS = 150


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_commands_are_errors_or_run(kind: str) -> None:
    model = read(local_program(list(legal(kind, seed=5, count=3))))
    section = model.sections[0]
    memory = memory_with_records(0)
    refused = 0
    for seed in range(MUTANTS):
        chance = random.Random(seed)
        data = bytearray(section.data)
        for _ in range(chance.randint(1, 4)):
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        damaged = replace(model, sections=(replace(section, data=bytes(data)),))
        try:
            Runtime(damaged, spec=CV183X).run({"in": memory}, timeout=10)
        except CviError:
            refused += 1
    assert 0 < refused < MUTANTS
