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
        self._streams = {engine: _Stream() for engine in Engine}

    def __len__(self) -> int:
        return len(self._commands)

    def emit(self, instruction: Instruction) -> Command:
        """Append an instruction.

        A wait that an earlier wait implies is not repeated, except that a TDMA command
        without a wait of its own carries the previous one (FACTS_TPU 5.2).
        """
        engine = engine_of(instruction)
        other = Engine.TDMA if engine is Engine.TIU else Engine.TIU
        own, foreign = self._streams[engine], self._streams[other]
        if own.count == MAX_ID - 1 and foreign.count == 0:
            self.emit(_idle(other))
        touched = accesses(instruction, self.spec)
        needed = foreign.conflict(touched)
        wait = needed if needed > own.known else 0
        own.known = max(own.known, needed)
        own.count += 1
        own.record(touched)
        command = Command(
            engine, own.count, own.known if engine is Engine.TDMA else wait, instruction
        )
        self._commands.append(command)
        if own.count == MAX_ID:
            self._streams = {engine: _Stream() for engine in Engine}
        return command

    def commands(self) -> list[Command]:
        """The program so far."""
        return list(self._commands)


def _idle(engine: Engine) -> Instruction:
    """An instruction that changes nothing: a byte is copied onto itself.

    The vendor's simulator hangs in a full segment in which one engine has nothing to do
    (FACTS_CVIMODEL 7).
    """
    byte = Local(0, (1, 1, 1, 1), (16, 16, 1, 1), signed=False)
    if engine is Engine.TIU:
        return Arith(op=ArithOp.COPY, result=byte, left=byte)
    return Copy(source=byte, target=byte)
