"""The command buffer: commands of both engines in one byte string (FACTS_TPU 5.1).

Each engine numbers its commands from 1. A command with the number 0xFFFF ends a segment:
both engines finish it, and count from 1 again (FACTS_CVIMODEL 7).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from cvi.errors import UnsupportedError
from cvi_tpu.isa.codec import MAX_ID, Command, decode, encode, layout_of
from cvi_tpu.isa.errors import InstructionError
from cvi_tpu.isa.instructions import Engine

if TYPE_CHECKING:
    from cvi_tpu.chip import ChipSpec

_HEADER = struct.Struct("<BBBBI")  # magic, body length, engine, flags, mask
_ENGINES = {engine.value: engine for engine in Engine}


def cmdbuf(commands: Iterable[Command], spec: ChipSpec) -> bytes:
    """The bytes of a program.

    UnsupportedError when a program is longer than the chip's runtime takes.
    """
    parts: list[bytes] = []
    used = dict.fromkeys(Engine, 0)
    headers = {
        engine: _HEADER.pack(spec.cmdbuf_magic, layout_of(engine, spec).size, engine.value, 0, 0)
        for engine in Engine
    }
    for command in commands:
        body = encode(command.instruction, spec, id=command.id, wait=command.wait)
        used[command.engine] += len(body)
        parts += (headers[command.engine], body)
    for engine, limit in zip((Engine.TIU, Engine.TDMA), spec.stream_bytes, strict=True):
        if used[engine] > limit:
            raise UnsupportedError(
                f"the program has {used[engine]} bytes of {engine.name} commands, "
                f"{spec.name} takes {limit}",
                fix="compile for a smaller input or batch",
            )
    return b"".join(parts)


def parse_cmdbuf(data: bytes, spec: ChipSpec) -> list[Command]:
    """The commands in a buffer, checked so that running them ends.

    InstructionError for anything else than a whole number of legal commands whose ids
    count up and whose waits can be met.
    """
    commands = [decode(engine, body, spec) for engine, body in _bodies(data, spec)]
    check_schedule(commands)
    return commands


def _bodies(data: bytes, spec: ChipSpec) -> Iterator[tuple[Engine, bytes]]:
    position = 0
    while position < len(data):
        if position + _HEADER.size > len(data):
            raise _broken(position, "cut off inside a header")
        magic, length, engine_bits, _, mask = _HEADER.unpack_from(data, position)
        if magic != spec.cmdbuf_magic:
            raise _broken(
                position, f"starts with {magic:#x}, {spec.name} has {spec.cmdbuf_magic:#x}"
            )
        engine = _ENGINES.get(engine_bits & 0xF)
        if engine is None:
            raise _broken(position, f"is for engine {engine_bits & 0xF}, not TIU or TDMA")
        size = length or mask
        if size != layout_of(engine, spec).size:
            raise _broken(position, f"has {size} bytes, which no {engine.name} descriptor has")
        position += _HEADER.size
        if position + size > len(data):
            raise _broken(position, "cut off inside a descriptor")
        yield engine, data[position : position + size]
        position += size


def _broken(position: int, why: str) -> InstructionError:
    return InstructionError(f"the command {why}", where=f"command buffer, byte {position}")


def segments(commands: Sequence[Command]) -> Iterator[Sequence[Command]]:
    """The parts of a program between which both engines wait for each other."""
    start = 0
    for index, command in enumerate(commands):
        if command.id == MAX_ID:
            yield commands[start : index + 1]
            start = index + 1
    if start < len(commands):
        yield commands[start:]


def by_engine(segment: Sequence[Command]) -> dict[Engine, list[Command]]:
    """The commands of a segment, sorted by engine."""
    return {engine: [c for c in segment if c.engine is engine] for engine in Engine}


def check_schedule(commands: Sequence[Command]) -> None:
    """InstructionError unless ids count up and every wait can be met.

    Both engines are run, each as far as its waits allow, until all is done or neither can go
    on; every command is looked at once.
    """
    for segment in segments(commands):
        streams = by_engine(segment)
        for engine, stream in streams.items():
            _check_ids(engine, stream)
        _run(streams)


def _check_ids(engine: Engine, stream: list[Command]) -> None:
    for number, command in enumerate(stream, 1):
        if command.id != number:
            raise InstructionError(f"{engine.name} command {number} is numbered {command.id}")


def _run(streams: dict[Engine, list[Command]]) -> None:
    done = dict.fromkeys(Engine, 0)
    moved = True
    while moved:
        moved = False
        for engine, other in ((Engine.TIU, Engine.TDMA), (Engine.TDMA, Engine.TIU)):
            stream = streams[engine]
            while done[engine] < len(stream) and stream[done[engine]].wait <= done[other]:
                done[engine] += 1
                moved = True
    for engine, stream in streams.items():
        if done[engine] < len(stream):
            stuck = stream[done[engine]]
            raise InstructionError(
                f"{engine.name} command {stuck.id} waits forever for number {stuck.wait} "
                "of the other engine"
            )
