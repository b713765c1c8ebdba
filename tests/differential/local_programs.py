"""Programs that load all of local memory, do something to it, and store it again: run by
our simulator and by the vendor's, from one and the same file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cvi_chip_cv183x.spec import CV183X
from cvi_tpu.chip import ChipSpec
from cvi_tpu.isa.instructions import Copy, Instruction
from cvi_tpu.isa.operands import Dram, Local, Shape4, dense
from cvi_tpu.isa.program import Program
from cvi_tpu.isa.stream import cmdbuf
from cvi_tpu.model import (
    CviModelFile,
    Element,
    Routine,
    Section,
    SectionKind,
    Tensor,
    TpuRoutine,
    gmem,
    write,
)
from cvi_tpu.model import Program as FileProgram

LANES = CV183X.lanes
Bytes = npt.NDArray[np.int8]


def whole(spec: ChipSpec) -> Shape4:
    """Local memory as the shape of a tensor."""
    return (1, spec.lanes, 1, spec.lane_bytes)


def local_program(instructions: Sequence[Instruction], spec: ChipSpec = CV183X) -> bytes:
    """A file whose input becomes local memory, and whose output is local memory after the
    instructions."""
    shape, lane = whole(spec), spec.lane_bytes
    everything = Local(0, shape, (lane, lane, lane, 1))
    program = Program(spec)
    program.emit(Copy(source=Dram(3, 0, shape, dense(shape)), target=everything))
    for instruction in instructions:
        program.emit(instruction)
    program.emit(Copy(source=everything, target=Dram(4, 0, shape, dense(shape))))
    return single_routine_file(cmdbuf(program.commands(), spec), shape, shape, spec.name)


def tracing_program(instructions: Sequence[Instruction], spec: ChipSpec, start: int) -> bytes:
    """As `local_program`, but the output is what lies from offset `start` of every lane on
    after each of the instructions, [instructions, lanes, 1, bytes]."""
    shape, lane = whole(spec), spec.lane_bytes
    part: Shape4 = (1, spec.lanes, 1, lane - start)
    everything, results = Local(0, shape, (lane, lane, lane, 1)), dense(part)
    program = Program(spec)
    program.emit(Copy(source=Dram(3, 0, shape, dense(shape)), target=everything))
    for number, instruction in enumerate(instructions):
        program.emit(instruction)
        target = Dram(4, number * spec.lanes * part[3], part, results)
        program.emit(Copy(source=Local(start, part, (lane, lane, lane, 1)), target=target))
    out = (len(instructions), *part[1:])
    return single_routine_file(cmdbuf(program.commands(), spec), shape, out, spec.name)


def single_routine_file(
    commands: bytes, source: tuple[int, ...], target: tuple[int, ...], chip: str = "cv183x"
) -> bytes:
    """A file with one TPU routine from "in" (region 3) to "out" (region 4), both int8."""
    tensors = (
        Tensor(name="in", offset=gmem(3, 0), element=Element.INT8, shape=source),
        Tensor(name="out", offset=gmem(4, 0), element=Element.INT8, shape=target),
    )
    routine = Routine(inputs=("in",), outputs=("out",), tpu=TpuRoutine(cmdbuf="c"))
    program = FileProgram(
        batch=1, inputs=("in",), outputs=("out",), tensors=tensors, routines=(routine,)
    )
    section = Section(kind=SectionKind.CMDBUF, name="c", data=commands)
    model = CviModelFile(name="t", chip=chip, target=chip, programs=(program,), sections=(section,))
    return write(model)


def random_memory(seed: int, spec: ChipSpec = CV183X) -> Bytes:
    return np.random.default_rng(seed).integers(-128, 128, whole(spec)).astype(np.int8)


def save(folder: Path, data: bytes) -> Path:
    path = folder / "m.cvimodel"
    path.write_bytes(data)
    return path
