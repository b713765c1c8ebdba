"""Code of CPU functions that a program file brings along (FACTS_CVIMODEL 3, plug-ins).

A library is an ELF shared object; the vendor's runtime opens the one for its processor and
asks it for `customOpRuntimeFuncs`. Our simulator never executes any of it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

from cvi.errors import InputError
from cvi_tpu.codegen.cpu import OnCpu
from cvi_tpu.model import Section, SectionKind

_ELF = struct.Struct("<4sBB10xHH")
"""Magic, class (2 = 64 bits), byte order (1 = little), file type, machine."""

_SHARED_OBJECT = 3
_MACHINES = {SectionKind.X86: 62, SectionKind.AARCH64: 183}
"""Numbers of the processors in the header of an ELF file."""


def library_sections(kernels: Iterable[OnCpu]) -> list[Section]:
    """A section for every library of these ops, each once, in the order of first use."""
    wanted = dict.fromkeys(entry for kernel in kernels for entry in _libraries(kernel))
    return [Section(kind=kind, name=path.name, data=_code(kind, path)) for kind, path in wanted]


def _libraries(kernel: OnCpu) -> Iterator[tuple[SectionKind, Path]]:
    for kind, path in ((SectionKind.X86, kernel.x86), (SectionKind.AARCH64, kernel.aarch64)):
        if path is not None:
            yield kind, path


def _code(kind: SectionKind, path: Path) -> bytes:
    """The bytes of a library; InputError unless it is one for that processor."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"the library of a CPU function cannot be read: {error.strerror}",
            where=str(path),
            fix="build it, or install the plugin that brings it again",
        ) from None
    expected = (b"\x7fELF", 2, 1, _SHARED_OBJECT, _MACHINES[kind])
    if len(data) < _ELF.size or _ELF.unpack_from(data) != expected:
        raise InputError(
            f"this is no shared library for {kind.name.lower()}",
            where=str(path),
            fix="build it for that processor (64 bits, little endian)",
        )
    return data
