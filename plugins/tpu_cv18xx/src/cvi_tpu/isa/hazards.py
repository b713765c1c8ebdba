"""Proof that no two commands of different engines race.

Two commands race when they touch a common byte, one of them writes, and neither is sure to
end before the other starts. As both engines are in order, a command of one engine runs side
by side with a contiguous run of the other's: after the last one it (or an earlier command
of its engine) waited for, and before the first one that waits for it (or a later command).
One walk over both streams finds the races in near-linear time. The vendor's simulator
interleaves in one fixed way and cannot show them (DECISIONS, synchronisation).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

from cvi_tpu.isa.access import Accesses, Range, accesses
from cvi_tpu.isa.codec import Command
from cvi_tpu.isa.instructions import Engine
from cvi_tpu.isa.intervals import IntervalMap
from cvi_tpu.isa.stream import by_engine, check_schedule, segments

if TYPE_CHECKING:
    from cvi_tpu.chip import ChipSpec


@dataclass(frozen=True)
class Race:
    """Two commands that touch `place` without an order between them."""

    segment: int
    tiu: Command
    tdma: Command
    place: Range
    tiu_writes: bool
    tdma_writes: bool

    def __str__(self) -> str:
        def part(command: Command, writes: bool) -> str:
            kind = type(command.instruction).__name__
            verb = "writes" if writes else "reads"
            return f"{command.engine.name} command {command.id} ({kind}) {verb}"

        return (
            f"segment {self.segment}: {part(self.tiu, self.tiu_writes)} {self.place} while "
            f"{part(self.tdma, self.tdma_writes)} it; neither waits for the other"
        )


Maps = defaultdict[int, IntervalMap]


def find_races(commands: Sequence[Command], spec: ChipSpec) -> list[Race]:
    """All TIU commands that race with the TDMA engine: the last rival for each of their
    byte ranges. Empty for a correct program.

    InstructionError when ids or waits cannot work at all.
    """
    check_schedule(commands)
    races: list[Race] = []
    for number, segment in enumerate(segments(commands)):
        streams = by_engine(segment)
        races += _segment_races(number, streams[Engine.TIU], streams[Engine.TDMA], spec)
    return races


def _segment_races(
    number: int, tiu: list[Command], tdma: list[Command], spec: ChipSpec
) -> list[Race]:
    races: list[Race] = []
    reads: Maps = defaultdict(IntervalMap)
    writes: Maps = defaultdict(IntervalMap)
    tdma_knows = list(accumulate((command.wait for command in tdma), max))
    started = 0  # TDMA commands that do not wait for the TIU command at hand
    finished = 0  # TDMA commands that it is sure to come after
    for command in tiu:
        while started < len(tdma) and tdma_knows[started] < command.id:
            _record(accesses(tdma[started].instruction, spec), started + 1, reads, writes)
            started += 1
        finished = max(finished, command.wait)
        for rival, place, own, other in _rivals(accesses(command.instruction, spec), reads, writes):
            if rival > finished:
                races.append(Race(number, command, tdma[rival - 1], place, own, other))
    return races


def _record(touched: Accesses, id: int, reads: Maps, writes: Maps) -> None:
    for place in touched.reads:
        reads[place.space].assign(place.start, place.end, id)
    for place in touched.writes:
        writes[place.space].assign(place.start, place.end, id)


def _rivals(touched: Accesses, reads: Maps, writes: Maps) -> list[tuple[int, Range, bool, bool]]:
    """(last TDMA command, place, TIU writes, TDMA writes) of every possible conflict."""
    found = [
        (writes[place.space].highest(place.start, place.end), place, False, True)
        for place in touched.reads
    ]
    for place in touched.writes:
        found.append((writes[place.space].highest(place.start, place.end), place, True, True))
        found.append((reads[place.space].highest(place.start, place.end), place, True, False))
    return found
