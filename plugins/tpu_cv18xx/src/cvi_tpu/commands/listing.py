"""The lines of `cvi model disasm`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cvi.errors import CviError, InputError, UnsupportedError
from cvi_tpu.isa.disasm import disassemble
from cvi_tpu.isa.stream import parse_cmdbuf
from cvi_tpu.model import CviModelFile, Program, Routine, read_file
from cvi_tpu.runtime.runtime import chip_spec


def listing(path: Path, program: int, routine: int | None) -> Iterator[str]:
    """The commands of one routine, or of all TPU routines, of a program.

    InputError when there is no such program or routine; errors name the file.
    """
    model = read_file(path)
    try:
        spec = chip_spec(model.chip)
        for index, chosen in _routines(_program(model, program), routine):
            if chosen.tpu is None or chosen.tpu.cmdbuf is None:
                raise UnsupportedError("the routine has no command buffer", where=str(index))
            yield f"# routine {index}: {chosen.tpu.cmdbuf}"
            data = model.section(chosen.tpu.cmdbuf).content()
            yield from disassemble(parse_cmdbuf(data, spec), spec)
    except CviError as error:
        error.where = f"{path}{': ' if error.where else ''}{error.where}"
        raise


def _program(model: CviModelFile, index: int) -> Program:
    if index >= len(model.programs):
        raise InputError(f"there is no program {index}; the file has {len(model.programs)}")
    return model.programs[index]


def _routines(program: Program, index: int | None) -> list[tuple[int, Routine]]:
    if index is None:
        return [(i, r) for i, r in enumerate(program.routines) if r.tpu is not None]
    if index >= len(program.routines):
        count = len(program.routines)
        raise InputError(f"there is no routine {index}; the program has {count}")
    return [(index, program.routines[index])]
