"""Waits between the engines: derived completely, none too many, and proved."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cvi.errors import CviError
from cvi_chip_cv183x.spec import CV183X
from cvi_tpu.isa.access import LOCAL_MEMORY, Accesses, accesses
from cvi_tpu.isa.codec import MAX_ID, Command
from cvi_tpu.isa.hazards import find_races
from cvi_tpu.isa.instructions import Arith, ArithOp, Copy, Engine, Instruction
from cvi_tpu.isa.operands import Dram, Local
from cvi_tpu.isa.program import Program
from cvi_tpu.isa.stream import segments
from isa_strategies import instructions

Pairs = set[tuple[int, int]]


def block(offset: int, size: int) -> Local:
    return Local(offset, (1, 1, 1, size), (size, size, size, 1), signed=False)


def load(offset: int, size: int = 16, region: int = 0) -> Copy:
    shape = (1, 1, 1, size)
    return Copy(source=Dram(region, 0, shape, (size,) * 3, False), target=block(offset, size))


def store(offset: int, size: int = 16, region: int = 3) -> Copy:
    copy = load(offset, size, region)
    return Copy(source=copy.target, target=copy.source)


def compute(target: int, source: int, size: int = 16) -> Arith:
    return Arith(op=ArithOp.COPY, result=block(target, size), left=block(source, size))


def program(made: Sequence[Instruction]) -> list[Command]:
    built = Program(CV183X)
    for instruction in made:
        built.emit(instruction)
    return built.commands()


def random_program(seed: int, length: int) -> list[Instruction]:
    """Loads, stores and computing on few bytes, so that nearly everything conflicts."""
    choose = random.Random(seed)
    made: list[Instruction] = []
    for _ in range(length):
        size, a, b = choose.randint(1, 12), choose.randrange(64), choose.randrange(64)
        kind = choose.randrange(4)
        if kind == 0:
            made.append(load(a, size))
        elif kind == 1:
            made.append(store(a, size))
        else:
            made.append(compute(a, b, size))
    return made


# -- an independent model: closure over single bytes ------------------------


def _bytes(touched: Accesses) -> tuple[set[tuple[int, int]], set[tuple[int, int]]]:
    reads = {(r.space, b) for r in touched.reads for b in range(r.start, r.end)}
    writes = {(r.space, b) for r in touched.writes for b in range(r.start, r.end)}
    return reads, writes


def conflicts(commands: Sequence[Command]) -> Pairs:
    """Pairs (i, j), i before j in the program, of conflicting commands."""
    found: Pairs = set()
    sets = [_bytes(accesses(c.instruction, CV183X)) for c in commands]
    for j, (reads, writes) in enumerate(sets):
        for i in range(j):
            other_reads, other_writes = sets[i]
            if writes & (other_reads | other_writes) or reads & other_writes:
                found.add((i, j))
    return found


def ordered(commands: Sequence[Command]) -> Pairs:
    """Pairs (i, j): i is sure to end before j starts. One segment."""
    position = {(c.engine, c.id): k for k, c in enumerate(commands)}
    before: list[set[int]] = []
    for command in commands:
        direct = []
        if command.id > 1:
            direct.append(position[command.engine, command.id - 1])
        if command.wait:
            other = Engine.TDMA if command.engine is Engine.TIU else Engine.TIU
            direct.append(position[other, command.wait])
        assert all(k < len(before) for k in direct), "a command waits for a later one"
        before.append(set(direct).union(*(before[k] for k in direct)))
    return {(i, j) for j, earlier in enumerate(before) for i in earlier}


# -- the simplest programs ---------------------------------------------------


def waits(commands: Sequence[Command]) -> list[int]:
    return [command.wait for command in commands]


def test_read_after_write_waits() -> None:
    assert waits(program([load(0), compute(64, 0), store(64)])) == [0, 1, 1]


def test_write_after_read_waits() -> None:
    assert waits(program([compute(64, 0), load(0)])) == [0, 1]


def test_write_after_write_waits() -> None:
    assert waits(program([compute(64, 0), load(64)])) == [0, 1]


def test_two_readers_do_not_wait() -> None:
    assert waits(program([load(0), compute(64, 0), store(0)])) == [0, 1, 0]


def test_touching_ranges_are_no_hazard() -> None:
    assert waits(program([load(0, 16), compute(64, 16, 8), load(24, 40)])) == [0, 0, 0]


def test_a_wait_covers_all_earlier_commands() -> None:
    made = [load(0), load(16), compute(64, 16), compute(80, 0)]
    assert waits(program(made)) == [0, 0, 2, 0]


def test_dma_commands_carry_the_last_wait() -> None:
    made = [load(0), compute(64, 0), store(64), load(512)]
    assert waits(program(made)) == [0, 1, 1, 1]


def test_dram_needs_no_waits() -> None:
    """Only the TDMA engine touches it, in order."""
    assert waits(program([store(0), load(32, region=3), compute(96, 128)])) == [0, 0, 0]


def test_numbers_count_per_engine() -> None:
    commands = program([load(0), compute(64, 0), compute(96, 64), store(96)])
    assert [(c.engine.name, c.id) for c in commands] == [
        ("TDMA", 1),
        ("TIU", 1),
        ("TIU", 2),
        ("TDMA", 2),
    ]


# -- random programs ---------------------------------------------------------


@pytest.mark.parametrize("seed", range(12))
def test_every_conflict_is_ordered(seed: int) -> None:
    commands = program(random_program(seed, 120))
    missing = conflicts(commands) - ordered(commands)
    assert not missing
    assert find_races(commands, CV183X) == []


@pytest.mark.parametrize("seed", range(12))
def test_every_wait_is_needed(seed: int) -> None:
    """Removing any wait leaves a conflict without order, and the checker sees it."""
    commands = program(random_program(seed, 60))
    needed = 0
    for place, command in enumerate(commands):
        if not command.wait:
            continue
        previous = [c.wait for c in commands[:place] if c.engine is command.engine]
        inherited = max(previous, default=0)
        without = list(commands)
        without[place] = replace(command, wait=0)
        races = find_races(without, CV183X)
        missing = conflicts(without) - ordered(without)
        assert bool(races) == bool(missing)
        assert bool(races) == (command.wait > inherited)
        needed += bool(races)
    assert needed > 5


@pytest.mark.parametrize("seed", range(12))
def test_weaker_waits_are_found(seed: int) -> None:
    """The checker agrees with the closure when waits are changed at random."""
    choose = random.Random(seed)
    commands = program(random_program(seed, 80))
    verdicts = set()
    for _ in range(40):
        changed = [
            replace(c, wait=max(0, c.wait - 1 - choose.randrange(2)))
            if choose.random() < 0.04
            else c
            for c in commands
        ]
        racy = bool(find_races(changed, CV183X))
        assert racy == bool(conflicts(changed) - ordered(changed))
        verdicts.add(racy)
    assert True in verdicts


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(made=st.lists(instructions(CV183X), min_size=2, max_size=40))
def test_programs_of_all_kinds_have_no_races(made: list[Instruction]) -> None:
    assert find_races(program(made), CV183X) == []


def test_a_race_tells_who_and_where() -> None:
    commands = program([load(0x100), compute(0x40, 0x108, 8)])
    commands[1] = replace(commands[1], wait=0)
    (race,) = find_races(commands, CV183X)
    assert str(race) == (
        "segment 0: TIU command 1 (Arith) reads local[0x108:0x110] while "
        "TDMA command 1 (Copy) writes it; neither waits for the other"
    )
    assert race.place.space == LOCAL_MEMORY


def test_impossible_waits_are_an_error() -> None:
    commands = program([load(0), compute(64, 0)])
    commands[1] = replace(commands[1], wait=2)
    with pytest.raises(CviError, match="waits forever"):
        find_races(commands, CV183X)


# -- long programs -----------------------------------------------------------


def counts(segment: Sequence[Command]) -> dict[str, int]:
    return {e.name: sum(c.engine is e for c in segment) for e in Engine}


def filled(made: Instruction, number: int, *before: Instruction) -> Program:
    built = Program(CV183X)
    for instruction in before:
        built.emit(instruction)
    for _ in range(number):
        built.emit(made)
    return built


def test_numbers_start_again_after_the_last_one() -> None:
    built = filled(load(32), MAX_ID, compute(64, 0), compute(64, 0))
    built.emit(store(96))
    built.emit(load(32))
    built.emit(compute(64, 32))
    first, second = segments(built.commands())
    assert (first[-1].engine, first[-1].id) == (Engine.TDMA, MAX_ID)
    assert [(c.engine, c.id, c.wait) for c in second[-3:]] == [
        (Engine.TDMA, 3, 0),
        (Engine.TDMA, 4, 0),
        (Engine.TIU, 3, 4),
    ]


@pytest.mark.parametrize("engine", list(Engine))
def test_every_segment_has_two_commands_of_each_engine(engine: Engine) -> None:
    """Fewer hang the vendor's simulator (see test_isa_segments_vendor)."""
    commands = filled(load(0) if engine is Engine.TDMA else compute(64, 0), MAX_ID + 5).commands()
    first, second = segments(commands)
    assert sorted(counts(first).values()) == [2, MAX_ID]
    assert sorted(counts(second).values()) == [2, 7]
    for command in (c for c in commands if c.engine is not engine):
        touched = accesses(command.instruction, CV183X)
        assert touched.reads == touched.writes
    assert find_races(commands, CV183X) == []


def test_a_program_of_one_segment_gets_nothing_added() -> None:
    assert len(program([load(0)] * 10)) == 10


def test_hazards_do_not_cross_a_segment() -> None:
    """The barrier orders everything; a wait across it would never be met."""
    assert filled(load(0), MAX_ID, compute(64, 0)).emit(compute(64, 0)).wait == 0
