"""Stored program files on our simulator give what the vendor's computed; nothing of the
vendor's is needed here. How they were made: programs/generate.py."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from benchmarks.verify import Tally, routines

from cvi.ir import Array
from cvi_chip_cv183x.spec import CV183X
from cvi_tpu.isa.hazards import find_races
from cvi_tpu.isa.instructions import Arith, ArithOp, Conv, Copy, Fill, MatrixCopy, Tiu
from cvi_tpu.model import CviModelFile, RoutineKind, read_file
from cvi_tpu.runtime import Runtime
from cvi_tpu.sim.schedule import Schedule

FOLDER = Path(__file__).parent / "programs"
NAMES = ("digits_kept", "partial_sums", "movement", "cpu_and_tpu")
ORDERS = [
    (Schedule.PROGRAM, 0),
    (Schedule.TIU_FIRST, 0),
    (Schedule.TDMA_FIRST, 0),
    *((Schedule.RANDOM, seed) for seed in range(10)),
]


def stored(name: str) -> tuple[CviModelFile, dict[str, Array], dict[str, Array]]:
    """The program, its inputs, and the vendor's results."""
    with np.load(FOLDER / f"{name}.npz", allow_pickle=False) as arrays:
        inputs = {k[3:]: arrays[k] for k in arrays.files if k.startswith("in:")}
        results = {k[4:]: arrays[k] for k in arrays.files if k.startswith("out:")}
    return read_file(FOLDER / f"{name}.cvimodel"), inputs, results


def test_every_file_is_run() -> None:
    assert {path.stem for path in FOLDER.glob("*.cvimodel")} == set(NAMES)
    assert sum(path.stat().st_size for path in FOLDER.iterdir() if path.is_file()) < 300 << 10


@pytest.mark.parametrize(("schedule", "seed"), ORDERS)
@pytest.mark.parametrize("name", NAMES)
def test_results_are_the_vendors(name: str, schedule: Schedule, seed: int) -> None:
    program, inputs, results = stored(name)
    runtime = Runtime(program, spec=CV183X, schedule=schedule, seed=seed)
    tally = Tally()
    tally.compare(name, runtime.run(inputs, all_tensors=True), results)
    assert not tally.problems, "\n".join(tally.problems)
    assert tally.tensors == len(results)
    assert tally.bytes > 0


@pytest.mark.parametrize("name", NAMES)
def test_nothing_races(name: str) -> None:
    program, _, _ = stored(name)
    for commands in routines(program):
        assert find_races(commands, CV183X) == []


def test_one_convolution_keeps_partial_sums() -> None:
    program, _, _ = stored("partial_sums")
    commands = [c.instruction for routine in routines(program) for c in routine]
    assert {c.partial for c in commands if isinstance(c, Conv)} >= {1, 2, 3}


def test_movement_needs_no_arithmetic() -> None:
    program, _, _ = stored("movement")
    instructions = [c.instruction for routine in routines(program) for c in routine]
    computed = [i for i in instructions if isinstance(i, Tiu)]
    assert all(isinstance(i, Arith) and i.op is ArithOp.COPY for i in computed)
    assert {type(i) for i in instructions} >= {Copy, Fill, MatrixCopy}


def test_routines_of_both_kinds_take_turns() -> None:
    program, _, _ = stored("cpu_and_tpu")
    kinds = [routine.kind for routine in program.programs[0].routines]
    first, last = kinds.index(RoutineKind.TPU), len(kinds) - 1 - kinds[::-1].index(RoutineKind.TPU)
    assert RoutineKind.CPU in kinds[first:last]


def test_a_changed_result_is_noticed() -> None:
    """The comparison itself: one bit of one tensor."""
    program, inputs, results = stored("partial_sums")
    got = Runtime(program, spec=CV183X).run(inputs, all_tensors=True)
    got["y"] = got["y"].copy()
    got["y"].flat[17] ^= 1
    tally = Tally()
    tally.compare("partial_sums", got, results)
    assert tally.mismatches == 1
    assert len(tally.problems) == 1
