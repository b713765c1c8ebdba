"""Reads a model file whole, and says what it is when it is something else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from cvi.errors import InputError, ModelError, UnsupportedError
from cvi.other_files import HEAD, other_content

MAX_FILE = (1 << 31) - 1
"""Protocol buffers and flat buffers end at 2 GiB."""

_OTHER_CONTENT = (
    (b"version https://git-lfs", "is a Git LFS pointer, not the model", "run `git lfs pull`"),
    (b"<!doctype html", "is an HTML page, not a model", "download the raw file"),
    (b"<html", "is an HTML page, not a model", "download the raw file"),
    (b"\x1f\x8b", "is compressed with gzip", "unpack it first"),
)


def read_model_file(path: Path, *, too_large: str = "store the weights apart") -> bytes:
    """The bytes of a model file.

    InputError when it cannot be read, UnsupportedError over 2 GiB (too_large: what to do
    then), ModelError when it is empty or is plainly none that a frontend reads: a pointer, a
    page, an archive, a pickle.
    """
    try:
        size = path.stat().st_size
        if path.is_dir():
            raise InputError("is a folder", where=str(path), fix="name the model file in it")
        if size > MAX_FILE:
            raise UnsupportedError("is larger than 2 GiB", where=str(path), fix=too_large)
        data = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"cannot be read: {error.strerror or error}", where=str(path), fix="check the path"
        ) from error
    refuse_other_content(path, data[:HEAD])
    return data


def refuse_other_content(path: Path, head: bytes) -> None:
    """ModelError when the first bytes of a file tell that it is no model at all, or one of a
    kind that no frontend reads."""
    if not head:
        raise ModelError("is empty", where=str(path), fix="download or export it again")
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for start, why, fix in _OTHER_CONTENT:
        if text.startswith(start.lower()):
            raise ModelError(why, where=str(path), fix=fix)
    other = other_content(path, head)
    if other is not None:
        raise other


_MAX_FIELDS = 4096


def protobuf_fields(path: Path) -> Mapping[int, int] | None:
    """Field number -> wire type of the outermost message, None when the file is not built so.

    Reads a few bytes per field and at most some thousand fields.
    """
    fields: dict[int, int] = {}
    size = path.stat().st_size
    with path.open("rb") as file:
        for _ in range(_MAX_FIELDS):
            if file.tell() == size:
                break
            known = _field(file, size)
            if known is None or fields.setdefault(known[0], known[1]) != known[1]:
                return None
    return fields


def _field(file: BinaryIO, size: int) -> tuple[int, int] | None:
    """Number and wire type of the next field, which is skipped; None when it is broken."""
    key = _varint(file)
    if key is None:
        return None
    number, wire = key >> 3, key & 7
    if wire not in (0, 1, 2, 5) or not number:
        return None
    value = _varint(file) if wire in (0, 2) else 0
    if value is None:
        return None
    end = file.tell() + {1: 8, 2: value, 5: 4}.get(wire, 0)
    if end > size:
        return None
    file.seek(end)
    return number, wire


def _varint(file: BinaryIO) -> int | None:
    """The variable-length integer that comes next; None if broken."""
    value = 0
    for shift in range(0, 70, 7):
        byte = file.read(1)
        if not byte:
            return None
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
    return None
