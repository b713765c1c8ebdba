"""In which order the two engines' commands run (FACTS_CVIMODEL 7, FACTS_TPU 5.2).

Each engine executes its own commands in order; a command may start when the other engine
has finished the command it waits for. Between these constraints any interleaving can
happen on a chip. Running a program under several of them, with the same bytes as result,
is evidence that its waits are complete.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from enum import Enum

from cvi.errors import RunnerError
from cvi_tpu.isa.codec import Command
from cvi_tpu.isa.instructions import Engine
from cvi_tpu.isa.stream import segments
from cvi_tpu.sim.machine import Machine


class Schedule(Enum):
    """Which engine goes first when both could.

    PROGRAM: the one whose command comes first in the file. RANDOM: any, by a seed.
    """

    PROGRAM = "program"
    TIU_FIRST = "tiu"
    TDMA_FIRST = "tdma"
    RANDOM = "random"


def execute(
    machine: Machine,
    commands: Sequence[Command],
    schedule: Schedule = Schedule.PROGRAM,
    *,
    seed: int = 0,
) -> None:
    """Run all commands; RunnerError when ids have gaps or a wait is never satisfied."""
    for command in ordered(commands, schedule, seed=seed):
        machine.execute(command.instruction)


def ordered(commands: Sequence[Command], schedule: Schedule, *, seed: int = 0) -> Iterator[Command]:
    """The commands in an order that the schedule allows and prefers."""
    chooser = random.Random(seed)
    for segment in segments(commands):
        yield from _segment(segment, schedule, chooser)


def _segment(
    commands: Sequence[Command], schedule: Schedule, chooser: random.Random
) -> Iterator[Command]:
    queues = {engine: _queue(commands, engine) for engine in Engine}
    done = dict.fromkeys(Engine, 0)
    while any(done[engine] < len(queues[engine]) for engine in Engine):
        ready = [engine for engine in Engine if _is_ready(engine, queues, done)]
        if not ready:
            raise _deadlock(queues, done)
        engine = _choose(ready, queues, done, schedule, chooser)
        yield queues[engine][done[engine]][1]
        done[engine] += 1


Queue = list[tuple[int, Command]]
"""Commands of one engine with their positions in the file."""


def _queue(commands: Sequence[Command], engine: Engine) -> Queue:
    queue = [(i, c) for i, c in enumerate(commands) if c.engine is engine]
    for expected, (_, command) in enumerate(queue, 1):
        if command.id != expected:
            raise RunnerError(
                f"command {expected} of the {engine.name} engine has the id {command.id};"
                " each engine must count 1, 2, 3, …"
            )
    return queue


def _other(engine: Engine) -> Engine:
    return Engine.TDMA if engine is Engine.TIU else Engine.TIU


def _is_ready(engine: Engine, queues: dict[Engine, Queue], done: dict[Engine, int]) -> bool:
    at = done[engine]
    return at < len(queues[engine]) and queues[engine][at][1].wait <= done[_other(engine)]


def _choose(
    ready: list[Engine],
    queues: dict[Engine, Queue],
    done: dict[Engine, int],
    schedule: Schedule,
    chooser: random.Random,
) -> Engine:
    if len(ready) == 1:
        return ready[0]
    if schedule is Schedule.RANDOM:
        return chooser.choice(ready)
    if schedule is Schedule.PROGRAM:
        return min(ready, key=lambda engine: queues[engine][done[engine]][0])
    return Engine.TIU if schedule is Schedule.TIU_FIRST else Engine.TDMA


def _deadlock(queues: dict[Engine, Queue], done: dict[Engine, int]) -> RunnerError:
    waits = [
        f"{engine.name} command {done[engine] + 1} waits for {_other(engine).name} command"
        f" {queues[engine][done[engine]][1].wait}"
        for engine in Engine
        if done[engine] < len(queues[engine])
    ]
    return RunnerError(f"the engines wait for ever: {', and '.join(waits)}")
