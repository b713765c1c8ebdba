"""Calls that make no sense: a result, or one error that names routine and reason."""

from __future__ import annotations

import random
import time
import warnings

import numpy as np
import pytest

from cpu_cases import INPUT, model_of
from cpu_mutants import mutant
from cpu_random import MAKERS
from cvi.errors import CviError
from cvi_chip_cv183x.spec import CV183X
from cvi_tpu.runtime import Runtime

MUTANTS = 300


@pytest.mark.parametrize("name", MAKERS)
def test_mutants_are_results_or_errors(name: str) -> None:
    made, rng = np.random.default_rng(1), random.Random(name)
    refused, slowest = 0, 0.0
    for _ in range(MUTANTS // 10):
        for case in [MAKERS[name](made)] * 10:
            changed = mutant(case, rng)
            start = time.process_time()
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                try:
                    Runtime(model_of([changed]), spec=CV183X).run(INPUT)
                except CviError as error:
                    refused += 1
                    assert error.where.startswith(f"routine 0 ({name})"), (error, changed)
            slowest = max(slowest, time.process_time() - start)
    assert MUTANTS / 10 < refused < MUTANTS
    assert slowest < 2
