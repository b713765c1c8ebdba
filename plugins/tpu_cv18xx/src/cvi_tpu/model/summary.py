"""A program file as text: what `cvi model dump` prints."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

from cvi_tpu.model.schema import (
    NO_MEMORY,
    CviModelFile,
    Program,
    Routine,
    Section,
    SectionKind,
    Tensor,
    Weight,
    region_of,
)

_MEBIBYTE = 1 << 20
FIRST_IO = 3
_COMMANDS = (SectionKind.CMDBUF, SectionKind.DMABUF)


def memory_need(model: CviModelFile) -> dict[str, int]:
    """Bytes of device memory (ION) that the file needs, by use (FACTS_TOOLCHAIN 1.10).

    weights and commands: their sections; private: of all programs; shared: of the largest
    program; io: inputs and outputs with memory of their own. Code of CPU functions lies in
    the memory of the board's processor.
    """
    return {
        "weights": len(model.weights()),
        "commands": sum(_loaded_size(s) for s in model.sections if s.kind in _COMMANDS),
        "private": sum(p.neuron_size + p.private_gmem for p in model.programs),
        "shared": max((p.shared_gmem for p in model.programs), default=0),
        "io": sum(_io_bytes(program) for program in model.programs),
    }


def _loaded_size(section: Section) -> int:
    return section.decompressed_size if section.compress else len(section.data)


def _io_bytes(program: Program) -> int:
    """One region per base register 3 to 7, as large as its largest tensor."""
    sizes: dict[int, int] = {}
    for tensor in program.tensors:
        if tensor.has_memory and tensor.region >= FIRST_IO:
            sizes[tensor.region] = max(sizes.get(tensor.region, 0), tensor.bytes)
    return sum(sizes.values())


def summary(model: CviModelFile) -> Iterator[str]:
    """The lines of the dump."""
    yield f"name:             {model.name}"
    yield f"chip:             {model.chip}"
    yield f"cvimodel version: {'.'.join(map(str, model.version))}"
    yield f"compiler version: {model.mlir_version or '-'}"
    yield f"built at:         {model.build_time}"
    if not model.intact:
        yield "checksum:         the MD5 in the header does not fit: the file was changed"
    need = memory_need(model)
    parts = ", ".join(f"{use} {size}" for use, size in need.items())
    yield f"memory needed:    {sum(need.values()) / _MEBIBYTE:.2f} MiB ({parts} bytes)"
    yield from _titled("Sections", _section_rows(model))
    yield from _titled("Weights", _weight_rows(model.weight_map))
    for index, program in enumerate(model.programs):
        yield from _program(index, program)


def _program(index: int, program: Program) -> Iterator[str]:
    yield ""
    yield f"Program {index}"
    yield f"  batch:   {program.batch}"
    if program.neuron_size:
        yield f"  neurons: {program.neuron_size} bytes"
    else:
        yield f"  private: {program.private_gmem} bytes, shared: {program.shared_gmem} bytes"
    yield f"  inputs:  {', '.join(program.inputs)}"
    yield f"  outputs: {', '.join(program.outputs)}"
    yield "  routines:"
    for number, routine in enumerate(program.routines):
        yield f"    {number:02d} {_routine(routine)}"
        yield f"       {', '.join(routine.inputs)} -> {', '.join(routine.outputs)}"
    yield from _titled("Tensors", _tensor_rows(program.tensors))


def _routine(routine: Routine) -> str:
    if routine.tpu is not None:
        return f"tpu {routine.tpu.cmdbuf or routine.tpu.dmabuf or '-'}"
    return f"cpu {routine.cpu.function if routine.cpu is not None else '-'}"


def _titled(title: str, rows: list[Sequence[str]]) -> Iterator[str]:
    yield ""
    yield title
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield ("  " + "  ".join(cells)).rstrip()


def _section_rows(model: CviModelFile) -> list[Sequence[str]]:
    rows: list[Sequence[str]] = [
        ("ID", "TYPE", "NAME", "SIZE", "OFFSET", "ENCRYPT", "COMPRESS", "MD5")
    ]
    for i, section in enumerate(model.sections):
        rows.append(
            (
                f"{i:03d}",
                section.kind.name.lower(),
                section.name,
                str(section.size),
                str(section.offset),
                str(section.encrypt),
                str(section.compress),
                hashlib.md5(section.data).hexdigest(),
            )
        )
    return rows


def _dims(shape: tuple[int, ...] | None) -> tuple[str, ...]:
    padded = (*(shape or ()), 0, 0, 0, 0)[:4] if not shape or len(shape) < 4 else shape[:4]
    return tuple(str(dim) if dim else "-" for dim in padded)


def _weight_rows(weights: Sequence[Weight]) -> list[Sequence[str]]:
    rows: list[Sequence[str]] = [("ID", "OFFSET", "SIZE", "TYPE", "N", "C", "H", "W", "NAME")]
    for i, weight in enumerate(weights):
        place = (f"{i:03d}", str(weight.offset), str(weight.size), weight.element.name.lower())
        rows.append((*place, *_dims(weight.shape), weight.name))
    return rows


def _tensor_rows(tensors: Sequence[Tensor]) -> list[Sequence[str]]:
    rows: list[Sequence[str]] = [
        ("ID", "OFFSET", "TYPE", "N", "C", "H", "W", "QSCALE", "MEM", "NAME")
    ]
    for i, tensor in enumerate(tensors):
        offset = str(tensor.offset) if tensor.has_memory else "-"
        place = (f"{i:03d}", offset, tensor.element.name.lower())
        rows.append((*place, *_dims(tensor.shape), _qscale(tensor), _memory(tensor), tensor.name))
    return rows


def _qscale(tensor: Tensor) -> str:
    scale = 0.0 if tensor.quant is None else tensor.quant.qscale
    return f"{scale:.6g}" if 1e-6 < scale <= 400 else "-"


def _memory(tensor: Tensor) -> str:
    if tensor.offset == NO_MEMORY:
        return "-"
    region = region_of(tensor.offset)
    if region >= FIRST_IO:
        return "io_mem"
    return "private" if region == 2 else "shared"
