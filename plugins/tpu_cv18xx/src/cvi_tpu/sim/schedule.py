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


class _Queue:
    """One engine's commands in a segment; `done` of them have ended."""

    def __init__(self, engine: Engine, segment: Sequence[Command]) -> None:
        places = [i for i, command in enumerate(segment) if command.engine is engine]
        self.engine, self.done, self.size = engine, 0, len(places)
        self.commands = [segment[i] for i in places]
        self.waits = [command.wait for command in self.commands]
        self.places = places
        for expected, command in enumerate(self.commands, 1):
            if command.id != expected:
                raise RunnerError(
                    f"command {expected} of the {engine.name} engine has the id {command.id};"
                    " each engine must count 1, 2, 3, …"
                )

    def ready(self, other: _Queue) -> bool:
        """Whether the next command exists and has what it waits for."""
        return self.done < self.size and self.waits[self.done] <= other.done

    def next(self) -> Command:
        self.done += 1
        return self.commands[self.done - 1]


def _segment(
    commands: Sequence[Command], schedule: Schedule, chooser: random.Random
) -> Iterator[Command]:
    tiu, tdma = _Queue(Engine.TIU, commands), _Queue(Engine.TDMA, commands)
    for _ in range(len(commands)):
        tiu_ready, tdma_ready = tiu.ready(tdma), tdma.ready(tiu)
        if tiu_ready and tdma_ready:
            yield (tiu if _prefers_tiu(tiu, tdma, schedule, chooser) else tdma).next()
        elif tiu_ready:
            yield tiu.next()
        elif tdma_ready:
            yield tdma.next()
        else:
            raise _deadlock(tiu, tdma)


def _prefers_tiu(tiu: _Queue, tdma: _Queue, schedule: Schedule, chooser: random.Random) -> bool:
    if schedule is Schedule.PROGRAM:
        return tiu.places[tiu.done] < tdma.places[tdma.done]
    if schedule is Schedule.RANDOM:
        return chooser.random() < 0.5
    return schedule is Schedule.TIU_FIRST


def _deadlock(tiu: _Queue, tdma: _Queue) -> RunnerError:
    waits = [
        f"{queue.engine.name} command {queue.done + 1} waits for {other.engine.name} command"
        f" {queue.waits[queue.done]}"
        for queue, other in ((tiu, tdma), (tdma, tiu))
        if queue.done < queue.size
    ]
    return RunnerError(f"the engines wait for ever: {', and '.join(waits)}")
