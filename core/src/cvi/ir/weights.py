"""Reading and writing safetensors files; arrays are memory-mapped, never copied.

The format: 8 bytes little-endian header length, a JSON header {name: {dtype, shape,
data_offsets}}, then the arrays without gaps.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cvi.errors import ModelError
from cvi.files import atomic_write
from cvi.ir.types import Array

_NAMES: dict[str, np.dtype[Any]] = {
    "F32": np.dtype("<f4"), "I8": np.dtype("i1"), "U8": np.dtype("u1"), "I16": np.dtype("<i2"),
    "U16": np.dtype("<u2"), "I32": np.dtype("<i4"), "U32": np.dtype("<u4"),
    "I64": np.dtype("<i8"), "BOOL": np.dtype("?"),
}  # fmt: skip
_HEADER_LIMIT = 100_000_000
_DIGEST = "cvi_digest"


def write_weights(path: Path, arrays: Mapping[str, Array]) -> str:
    """Write a safetensors file; returns the digest of its contents."""
    names = sorted(arrays, key=lambda name: (-arrays[name].itemsize, name))
    header: dict[str, Any] = {}
    end = 0
    for name in names:
        start, end = end, end + arrays[name].nbytes
        header[name] = {
            "dtype": _dtype_name(arrays[name]),
            "shape": list(arrays[name].shape),
            "data_offsets": [start, end],
        }
    digest = _digest(header, names, arrays)
    text = json.dumps({"__metadata__": {_DIGEST: digest}, **header}, separators=(",", ":"))
    encoded = text.encode()
    encoded += b" " * (-len(encoded) % 8)
    with atomic_write(path) as file:
        file.write(len(encoded).to_bytes(8, "little") + encoded)
        for name in names:
            file.write(_bytes(arrays[name]))
    return digest


def read_weights(path: Path) -> tuple[dict[str, Array], str]:
    """The arrays of a safetensors file and the digest it was written with ("" if none)."""
    try:
        if not path.is_file():
            raise ModelError("the weight file does not exist", where=str(path))
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or not 2 <= length <= min(size - 8, _HEADER_LIMIT):
                raise ModelError("is not a safetensors file", where=str(path))
            header = _parse_header(file.read(length), path)
        data = np.memmap(path, np.uint8, "r") if size > 8 + length else np.empty(0, np.uint8)
    except OSError as error:
        raise ModelError(f"cannot be read: {error.strerror}", where=str(path)) from error
    payload = np.asarray(data)[8 + length :]
    metadata = header.pop("__metadata__", {})
    arrays = _views(header, payload, path)
    digest = metadata.get(_DIGEST, "") if isinstance(metadata, dict) else ""
    return arrays, digest if isinstance(digest, str) else ""


def _parse_header(encoded: bytes, path: Path) -> dict[str, Any]:
    try:
        header = json.loads(encoded)
    except (ValueError, RecursionError) as error:
        raise ModelError("the header of the weight file is broken", where=str(path)) from error
    if not isinstance(header, dict):
        raise ModelError("the header of the weight file is no table", where=str(path))
    return header


def _views(header: dict[str, Any], payload: Array, path: Path) -> dict[str, Array]:
    """Every array as a view of the payload; the arrays must fill it without gap or overlap."""
    arrays: dict[str, Array] = {}
    spans = []
    for name, entry in header.items():
        where = f"{path}: {name}"
        kind, shape, (start, end) = _entry(entry, where)
        if end - start != kind.itemsize * math.prod(shape) or end > len(payload):
            raise ModelError("the size of the tensor does not fit its shape", where=where)
        if kind.kind == "b" and end > start and payload[start:end].max() > 1:
            raise ModelError("a truth value is neither 0 nor 1", where=where)
        arrays[name] = payload[start:end].view(kind).reshape(shape)
        spans.append((start, end))
    position = 0
    for start, end in sorted(spans):
        if start != position:
            raise ModelError("tensors overlap or leave a gap", where=str(path))
        position = end
    if position != len(payload):
        raise ModelError("the file is longer than its tensors", where=str(path))
    return arrays


def _entry(entry: Any, where: str) -> tuple[np.dtype[Any], list[int], tuple[int, int]]:
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise ModelError("the entry of the tensor is broken", where=where)
    kind, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    known = _NAMES.get(kind) if isinstance(kind, str) else None
    if known is None:
        raise ModelError(f"element type {str(kind)[:40]!r} is not known", where=where)
    if not _naturals(shape) or not _naturals(offsets) or len(shape) > 32 or len(offsets) != 2:
        raise ModelError("shape or offsets of the tensor are broken", where=where)
    if offsets[1] < offsets[0]:
        raise ModelError("the tensor ends before it begins", where=where)
    return known, shape, (offsets[0], offsets[1])


def _naturals(values: Any) -> bool:
    return isinstance(values, list) and all(type(v) is int and 0 <= v < 1 << 62 for v in values)


def _dtype_name(array: Array) -> str:
    for name, kind in _NAMES.items():
        if kind == array.dtype:
            return name
    raise TypeError(f"an array of {array.dtype} cannot be saved")


def _bytes(array: Array) -> memoryview:
    flat = np.ascontiguousarray(array).reshape(-1)
    return flat.view(np.uint8).data


def _digest(header: Mapping[str, Any], names: list[str], arrays: Mapping[str, Array]) -> str:
    """Digest of names, shapes and values: tells a weight file from another graph's."""
    state = hashlib.blake2b(json.dumps(header).encode(), digest_size=16)
    for name in names:
        state.update(_bytes(arrays[name]))
    return state.hexdigest()


def weights_path(path: str | os.PathLike[str]) -> Path:
    """The weight file that belongs to a graph file: `net.cvi.json` → `net.safetensors`."""
    target = Path(path)
    stem = target.name
    for suffix in (".json", ".cvi"):
        stem = stem.removesuffix(suffix) or stem
    return target.with_name(stem + ".safetensors")
