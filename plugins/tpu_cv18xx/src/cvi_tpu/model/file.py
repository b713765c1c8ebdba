"""`.cvimodel` files: header, description, payload (FACTS_CVIMODEL 1 and 3)."""

from __future__ import annotations

import hashlib
import os
import struct
import time
from dataclasses import replace
from pathlib import Path

from cvi.errors import InputError, ModelError
from cvi_tpu.model.flat import read_root, write_root
from cvi_tpu.model.schema import CviModelFile, Section

MAGIC = b"CviModel"
_HEADER = struct.Struct("<8sIBB16s16s2s")
_OLD_HEADER = 32
"""Size of the header of version 1.0, which has no chip name and means cv183x."""
_ALIGN = 16
_FIXED_TIME = "1970-01-01 00:00:00"


def read(data: bytes) -> CviModelFile:
    """The file with these bytes.

    Raises one ModelError for anything that is not a whole cvimodel: cut, damaged, or
    another format. Whether the programs make sense is for the runtime to check.
    """
    if len(data) < _HEADER.size or data[:8] != MAGIC:
        raise ModelError("this is not a cvimodel file", fix="give a .cvimodel file")
    _, size, major, minor, md5, chip, _ = _HEADER.unpack_from(data)
    old = (major, minor) == (1, 0)
    start = _OLD_HEADER if old else _HEADER.size
    if start + size > len(data):
        raise ModelError(f"the file is cut: {len(data)} bytes, {start + size} announced")
    model = read_root(data[start : start + size], CviModelFile)
    return replace(
        model,
        chip="cv183x" if old else _chip_name(chip),
        intact=hashlib.md5(data[start:]).digest() == md5,
        sections=_with_data(model.sections, data, start + size),
    )


def read_file(path: Path) -> CviModelFile:
    """The file at `path`; errors name it."""
    try:
        return read(path.read_bytes())
    except OSError as error:
        raise InputError(error.strerror or "cannot be read", where=str(path)) from None
    except ModelError as error:
        where = f"{path}: {error.where}" if error.where else str(path)
        raise ModelError(error.why, where=where, fix=error.fix) from None


def _chip_name(raw: bytes) -> str:
    try:
        return raw.rstrip(b"\0").decode("ascii")
    except UnicodeDecodeError:
        raise ModelError(f"the chip name in the header is broken: {raw!r}") from None


def _with_data(sections: tuple[Section, ...], data: bytes, payload: int) -> tuple[Section, ...]:
    if sum(section.size for section in sections) > 4 * len(data):
        raise ModelError("the sections overlap")
    filled = []
    for section in sections:
        start = payload + section.offset
        if start + section.size > len(data):
            raise ModelError(
                f"the section needs {start + section.size} bytes, the file has {len(data)}",
                where=f"section {section.name}",
                fix="the file was cut; copy or build it again",
            )
        filled.append(replace(section, data=data[start : start + section.size]))
    return tuple(filled)


def write(model: CviModelFile) -> bytes:
    """The bytes of the file; equal models give equal bytes.

    Sections start at multiples of 16 bytes of the file.
    """
    if not model.programs:
        raise ModelError("a cvimodel needs at least one program", where=model.name)
    sections, payload = _layout(model.sections)
    described = replace(model, sections=sections, build_time=model.build_time or build_time_text())
    description = write_root(described)
    description += bytes(-len(description) % _ALIGN)
    body = description + payload
    return _header(model, len(description), hashlib.md5(body).digest()) + body


def _layout(sections: tuple[Section, ...]) -> tuple[tuple[Section, ...], bytes]:
    payload = bytearray()
    placed = []
    for section in sections:
        payload += bytes(-len(payload) % _ALIGN)
        placed.append(replace(section, size=len(section.data), offset=len(payload)))
        payload += section.data
    return tuple(placed), bytes(payload)


def _header(model: CviModelFile, size: int, md5: bytes) -> bytes:
    major, minor, _ = model.version
    if (major, minor) == (1, 0):
        raise ModelError("version 1.0 files cannot be written", fix="use version 1.4.0")
    chip = model.chip.encode("ascii", "replace")
    if not chip or len(chip) > 16:
        raise ModelError(f"{model.chip!r} is no chip name that a cvimodel can hold")
    return _HEADER.pack(MAGIC, size, major, minor, md5, chip, b"Cv")


def build_time_text() -> str:
    """Build time from SOURCE_DATE_EPOCH (UTC), else a fixed one: same input, same bytes."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    if not epoch:
        return _FIXED_TIME
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(int(epoch)))
    except (ValueError, OverflowError, OSError):
        raise InputError(
            f"SOURCE_DATE_EPOCH is {epoch!r}, not a number of seconds since 1970",
            fix="unset the variable or give whole seconds",
        ) from None
