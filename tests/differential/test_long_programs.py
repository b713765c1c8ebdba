"""Routines with more commands of one engine than its 16-bit ids can number.

At number 65535 both engines meet and count from 1 again (FACTS_CVIMODEL 7): nothing may
be lost or reordered there, and hazards across that border need no wait.
"""

from __future__ import annotations

import random
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from benchmarks.verify import routines
from local_programs import Bytes, local_program, random_memory, save

from cvi_chip_cv183x.spec import CV183X
from cvi_runner_vendor.runner import VendorRunner
from cvi_tpu.isa.codec import MAX_ID
from cvi_tpu.isa.hazards import find_races
from cvi_tpu.isa.instructions import Arith, ArithOp, Const, Copy, Engine, Instruction
from cvi_tpu.isa.operands import Local
from cvi_tpu.isa.stream import segments
from cvi_tpu.model import read
from cvi_tpu.runtime import Runtime
from cvi_tpu.sim.schedule import Schedule
from vendor_here import needs_vendor

SLOTS = 48
"""Places of local memory that the commands share, so that most of them depend on others."""

MEMORY = random_memory(1)
SHAPE, STRIDES = (1, 3, 1, 16), (16, 16, 16, 1)
MORE = MAX_ID + 600
FEWER = 2500


def _slot(choose: random.Random) -> Local:
    return Local(16 * choose.randrange(SLOTS), SHAPE, STRIDES)


def _compute(choose: random.Random) -> Instruction:
    op = choose.choice([ArithOp.ADD, ArithOp.SUB, ArithOp.XOR, ArithOp.MUL, ArithOp.COPY])
    right: Local | Const | None = _slot(choose)
    if op is ArithOp.COPY:
        right = None
    elif op is ArithOp.MUL:
        right = Const(choose.randrange(2, 100))
    shift = 5 if op is ArithOp.MUL else 0
    if op is ArithOp.XOR:
        return Arith(op=op, result=_slot(choose), left=_slot(choose), right=right)
    if op in (ArithOp.ADD, ArithOp.SUB):
        return _wide_sum(op, choose)
    return Arith(op=op, result=_slot(choose), left=_slot(choose), right=right, shift=shift)


def _wide_sum(op: ArithOp, choose: random.Random) -> Instruction:
    """Sums take 16-bit operands in two planes: two slots side by side."""

    def pair() -> Local:
        return Local(16 * choose.randrange(SLOTS - 1), SHAPE, STRIDES, plane=16)

    return Arith(op=op, result=pair(), left=pair(), right=pair(), shift=choose.randrange(3))


def _move(choose: random.Random) -> Instruction:
    return Copy(source=_slot(choose), target=_slot(choose))


@lru_cache(maxsize=2)
def long_program(busy: Engine) -> bytes:
    """A file whose one routine has more than 65535 commands of an engine, and many of the
    other, in random order on few places of local memory."""
    choose = random.Random(busy.name)
    kinds = [busy] * MORE + [e for e in Engine if e is not busy] * FEWER
    choose.shuffle(kinds)
    return local_program(
        [_compute(choose) if kind is Engine.TIU else _move(choose) for kind in kinds]
    )


@pytest.mark.slow
@pytest.mark.parametrize("busy", list(Engine))
def test_ids_start_again_and_nothing_races(busy: Engine) -> None:
    (commands,) = routines(read(long_program(busy)))
    assert sum(c.engine is busy for c in commands) > MAX_ID
    first, *rest = segments(commands)
    assert rest
    assert max(c.id for c in first) == MAX_ID
    assert find_races(commands, CV183X) == []


@lru_cache(maxsize=2)
def program_order(busy: Engine) -> Bytes:
    """Local memory after the program in the order of the file."""
    result: Bytes = Runtime(read(long_program(busy))).run({"in": MEMORY})["out"]
    return result


@pytest.mark.slow
@pytest.mark.parametrize(
    ("busy", "schedule"),
    [(Engine.TIU, Schedule.RANDOM), (Engine.TDMA, Schedule.TIU_FIRST)],
)
def test_another_order_gives_the_same_memory(busy: Engine, schedule: Schedule) -> None:
    runtime = Runtime(read(long_program(busy)), schedule=schedule, seed=7)
    result = runtime.run({"in": MEMORY})["out"]
    np.testing.assert_array_equal(result, program_order(busy))
    assert not np.array_equal(result, MEMORY)


@needs_vendor
@pytest.mark.vendor
@pytest.mark.slow
@pytest.mark.parametrize("busy", list(Engine))
def test_the_vendor_computes_the_same_memory(busy: Engine, tmp_path: Path) -> None:
    path = save(tmp_path, long_program(busy))
    theirs = VendorRunner().run(path, {"in": MEMORY}, timeout=120)["out"]
    np.testing.assert_array_equal(program_order(busy), theirs)
