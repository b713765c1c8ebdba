"""A program under construction: instructions in sequential order, waits derived.

Both engines run side by side, each its own commands in order. `Program` finds out which
command of one engine must wait for which of the other: when they touch the same bytes of
local memory and at least one writes (read after write, write after read, write after
write). DRAM is touched by the TDMA engine alone, which is in order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cvi_tpu.isa.access import LOCAL_MEMORY, Accesses, accesses
from cvi_tpu.isa.codec import MAX_ID, Command, engine_of
from cvi_tpu.isa.instructions import Arith, ArithOp, Copy, Engine, Instruction
from cvi_tpu.isa.intervals import IntervalMap
from cvi_tpu.isa.operands import Local

if TYPE_CHECKING:
    from cvi_tpu.chip import ChipSpec


MIN_COMMANDS = 2


class _Stream:
    """One engine in the current segment.

    count: commands so far. known: the other engine's command that this one has waited for;
    as engines are in order, all earlier ones are finished too. reads, writes: the last own
    command that read or wrote a byte of local memory.
    """

    def __init__(self) -> None:
        self.count = 0
        self.known = 0
        self.reads = IntervalMap()
        self.writes = IntervalMap()

    def conflict(self, touched: Accesses) -> int:
        """The last command of this stream that must end before the bytes may be touched."""
        last = 0
        for space, start, end in touched.reads:
            if space == LOCAL_MEMORY:
                last = max(last, self.writes.highest(start, end))
        for space, start, end in touched.writes:
            if space == LOCAL_MEMORY:
                last = max(last, self.writes.highest(start, end), self.reads.highest(start, end))
        return last

    def record(self, touched: Accesses) -> None:
        for space, start, end in touched.reads:
            if space == LOCAL_MEMORY:
                self.reads.assign(start, end, self.count)
        for space, start, end in touched.writes:
            if space == LOCAL_MEMORY:
                self.writes.assign(start, end, self.count)


class Program:
    """The commands of one routine; `emit` instructions in an order that would be right if
    each waited for the one before."""

    def __init__(self, spec: ChipSpec) -> None:
        self.spec = spec
        self._commands: list[Command] = []
        self._streams = _streams()

    def __len__(self) -> int:
        return len(self._commands)

    def emit(self, instruction: Instruction) -> Command:
        """Append an instruction.

        A wait that an earlier wait implies is not repeated, except that a TDMA command
        without a wait of its own carries the previous one (FACTS_TPU 5.2).
        """
        engine = engine_of(instruction)
        if self._commands and not any(stream.count for stream in self._streams.values()):
            self._idle(Engine.TIU)
            self._idle(Engine.TDMA)
        if self._streams[engine].count == MAX_ID - 1:
            self._idle(other_engine(engine))
        return self._append(engine, instruction)

    def _append(self, engine: Engine, instruction: Instruction) -> Command:
        own, foreign = self._streams[engine], self._streams[other_engine(engine)]
        touched = accesses(instruction, self.spec)
        needed = foreign.conflict(touched)
        wait = needed if needed > own.known else 0
        own.known = max(own.known, needed)
        own.count += 1
        own.record(touched)
        carried = own.known if engine is Engine.TDMA else wait
        command = Command(engine, own.count, carried, instruction)
        self._commands.append(command)
        if own.count == MAX_ID:
            self._streams = _streams()
        return command

    def _idle(self, engine: Engine) -> None:
        """See that the engine has two commands in this segment.

        In a program of several segments the vendor's simulator hangs when one has fewer
        (measured; FACTS_CVIMODEL 7 tells of none).
        """
        while self._streams[engine].count < MIN_COMMANDS:
            self._append(engine, _IDLE[engine])

    def commands(self) -> list[Command]:
        """The program so far."""
        return list(self._commands)


def other_engine(engine: Engine) -> Engine:
    return Engine.TDMA if engine is Engine.TIU else Engine.TIU


def _streams() -> dict[Engine, _Stream]:
    return {engine: _Stream() for engine in Engine}


def _byte(offset: int) -> Local:
    return Local(offset, (1, 1, 1, 1), (16, 16, 1, 1), signed=False)


#: Instructions that change nothing: a byte is copied onto itself.
_IDLE: dict[Engine, Instruction] = {
    Engine.TIU: Arith(op=ArithOp.COPY, result=_byte(0), left=_byte(0)),
    Engine.TDMA: Copy(source=_byte(16), target=_byte(16)),
}
