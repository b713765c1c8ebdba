"""What kind of file a path is, by its first bytes."""

from __future__ import annotations

from pathlib import Path

from cvi.errors import InputError, ModelError

_IDENTIFIER = b"TFL3"
_HDF5 = b"\x89HDF\r\n\x1a\n"
_ZIP = b"PK\x03\x04"
MAX_FILE = (1 << 31) - 1
"""Offsets in a flatbuffer have 32 bits; signed readers end at 2 GiB."""

_OTHER_CONTENT = (
    (b"version https://git-lfs", "is a Git LFS pointer, not the model", "run `git lfs pull`"),
    (b"<!doctype html", "is an HTML page, not a model", "download the raw file"),
    (b"<html", "is an HTML page, not a model", "download the raw file"),
    (b"\x1f\x8b", "is compressed with gzip", "unpack it first"),
    (_ZIP, "is a zip archive", "unpack it first"),
)


def kind_of(path: Path) -> str | None:
    """"tflite", "saved-model" (a folder), "keras" or "frozen-graph"; None when unknown."""
    if path.is_dir():
        return "saved-model" if (path / "saved_model.pb").is_file() else None
    if not path.is_file():
        return None
    head, suffix = _head(path), path.suffix.lower()
    if head[4:8] == _IDENTIFIER or suffix in (".tflite", ".lite"):
        return "tflite"
    if head.startswith(_HDF5) or (head.startswith(_ZIP) and suffix == ".keras"):
        return "keras"
    # A GraphDef begins with a node: field 1, length-delimited.
    return "frozen-graph" if suffix == ".pb" and head[:1] == b"\x0a" else None


def read_tflite(path: Path) -> bytes:
    """The bytes of a TFLite file; an error that says what another file is instead."""
    try:
        size = path.stat().st_size
        if size > MAX_FILE:
            raise ModelError(f"the file has {size} bytes; TFLite files end at 2 GiB")
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", fix="check the path") from error
    _check(data)
    return data


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(64)
    except OSError:
        return b""


def _check(data: bytes) -> None:
    if not data:
        raise ModelError("the file is empty", fix="download or export it again")
    start = data[:64].lstrip().lower()
    for magic, what, fix in _OTHER_CONTENT:
        if start.startswith(magic.lower()):
            raise ModelError(f"the file {what}", fix=fix)
    if len(data) < 8 or data[4:8] != _IDENTIFIER:
        raise ModelError(
            "the file is not a TFLite model: it lacks the identifier TFL3",
            fix="export it with TensorFlow's TFLiteConverter",
        )
