"""Reading an ONNX file: from bytes to a ModelProto that holds together."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from cvi.errors import InputError, ModelError, UnsupportedError

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto

MAX_FILE = (1 << 31) - 1
"""Protocol buffers end at 2 GiB."""

_OTHER_CONTENT = (
    (b"version https://git-lfs", "is a Git LFS pointer, not the model", "run `git lfs pull`"),
    (b"<!doctype html", "is an HTML page, not a model", "download the raw file"),
    (b"<html", "is an HTML page, not a model", "download the raw file"),
    (b"PK\x03\x04", "is a zip archive", "unpack it, or export the PyTorch model to ONNX"),
    (b"\x1f\x8b", "is compressed with gzip", "unpack it first"),
)

_MODEL_FIELDS = {1: 0, 2: 2, 3: 2, 4: 2, 5: 0, 6: 2, 7: 2, 8: 2, 14: 2, 20: 2, 25: 2, 26: 2}
"""Field number of ModelProto -> wire type."""

_MAX_FIELDS = 4096
_GRAPH, _OPSET = 7, 8


def looks_like_onnx(path: Path) -> bool:
    """Whether a file has the outer structure of a ModelProto. Reads a few bytes per field."""
    seen = set()
    size = path.stat().st_size
    with path.open("rb") as file:
        for _ in range(_MAX_FIELDS):
            start = file.tell()
            if start == size:
                break
            key = _varint(file.read(10))
            if key is None:
                return False
            field, wire = key[0] >> 3, key[0] & 7
            if _MODEL_FIELDS.get(field) != wire:
                return False
            file.seek(start + key[1])
            value = _varint(file.read(10))
            if value is None:
                return False
            end = start + key[1] + value[1] + (value[0] if wire == 2 else 0)
            if end > size:
                return False
            file.seek(end)
            seen.add(field)
    return _GRAPH in seen and (_OPSET in seen or 1 in seen)


def _varint(data: bytes) -> tuple[int, int] | None:
    """A variable-length integer at the start of data: value and length; None if broken."""
    value = 0
    for i, byte in enumerate(data[:10]):
        value |= (byte & 0x7F) << (7 * i)
        if byte < 0x80:
            return value, i + 1
    return None


def read_model(path: Path) -> ModelProto:
    """The parsed file. InputError when there is none, ModelError when it is no ONNX model."""
    import onnx
    from google.protobuf.message import DecodeError

    data = _read(path)
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except (DecodeError, RecursionError, ValueError) as error:
        raise ModelError(
            "is not an ONNX model, or it is broken or cut off",
            where=str(path),
            fix="download or export it again",
        ) from error
    if not model.HasField("graph") or not (model.graph.node or model.graph.output):
        raise ModelError("holds no ONNX graph", where=str(path), fix="download or export it again")
    return model


def _read(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if path.is_dir():
            raise InputError("is a folder", where=str(path), fix="name the .onnx file in it")
        if size > MAX_FILE:
            raise UnsupportedError(
                "is larger than 2 GiB", where=str(path), fix="export it with external data"
            )
        data = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"cannot be read: {error.strerror or error}", where=str(path), fix="check the path"
        ) from error
    if not data:
        raise ModelError("is empty", where=str(path), fix="download or export it again")
    head = data[:256].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for start, why, fix in _OTHER_CONTENT:
        if head.startswith(start.lower()):
            raise ModelError(why, where=str(path), fix=fix)
    return data


def opsets(model: ModelProto) -> dict[str, int]:
    """Domain -> version ("" is ONNX's own). UnsupportedError outside 7 … what onnx knows."""
    from onnx import defs

    versions = {}
    for entry in model.opset_import:
        domain = entry.domain if entry.domain != "ai.onnx" else ""
        versions[domain] = int(entry.version)
    own = versions.setdefault("", 1)
    if own < 7:
        raise UnsupportedError(
            f"uses opset {own}; the oldest supported is 7",
            fix="export it again with opset 11 or newer",
        )
    if own > defs.onnx_opset_version():
        raise UnsupportedError(
            f"uses opset {own}; the installed onnx knows up to {defs.onnx_opset_version()}",
            fix="pip install --upgrade onnx, or export the model with an older opset",
        )
    return versions


def check_names(graph: GraphProto) -> None:
    """ModelError when a name is not text (a sign of a damaged file)."""
    for name in _names(graph):
        if not isinstance(name, str) or any(c < " " or c == "\x7f" for c in name):
            raise ModelError(
                f"the name {name!r} is not printable text", fix="download or export it again"
            )


def _names(graph: GraphProto) -> Iterator[object]:
    for node in graph.node:
        yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
        yield from (attribute.name for attribute in node.attribute)
    for value in (*graph.input, *graph.output):
        yield value.name
        shape = value.type.tensor_type.shape
        yield from (d.dim_param for d in shape.dim if d.HasField("dim_param"))
    for tensor in graph.initializer:
        yield tensor.name
        yield from (text for entry in tensor.external_data for text in (entry.key, entry.value))
