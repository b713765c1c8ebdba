"""The numbers of a `.caffemodel`: arrays by layer name."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cvi.content import read_model_file
from cvi.errors import ModelError, UnsupportedError
from cvi.ir import Array, Shape
from cvi_frontend_caffe import schema
from cvi_frontend_caffe.net import is_text

Blobs = Sequence[Array]

_RAW: dict[int, np.dtype[Any]] = {0: np.dtype("<f8"), 1: np.dtype("<f4"), 2: np.dtype("<f2")}
_MAX_ELEMENTS = 1 << 30


def read_weights(path: Path) -> dict[str, Blobs]:
    """Every layer that has weights -> its blobs in fp32. ModelError when the file is broken.

    Only names and numbers are read, for forks disagree about the other fields. Of several
    layers of one name the last counts, as in Caffe.
    """
    from google.protobuf.message import DecodeError

    data = read_model_file(path)
    if is_text(data):
        raise ModelError(
            "is text: a network description, not the weights of one",
            where=str(path),
            fix="name the .caffemodel with --weights, the .prototxt as the model",
        )
    try:
        file = schema.classes()["WeightFile"].FromString(data)
    except (DecodeError, RecursionError, ValueError) as error:
        raise ModelError(
            "is no .caffemodel, or it is broken or cut off",
            where=str(path),
            fix="download it again",
        ) from error
    return _by_layer(file, path)


def _by_layer(file: Any, path: Path) -> dict[str, Blobs]:
    found: dict[str, Blobs] = {}
    try:
        for layer in (*file.layer, *file.layers):
            if layer.blobs:
                where = f"{path}: layer {str(layer.name)!r}"
                found[str(layer.name)] = [
                    blob_array(blob, f"{where}, blob {i}") for i, blob in enumerate(layer.blobs)
                ]
    except UnicodeDecodeError as error:
        raise ModelError(
            "holds a name that is no text", where=str(path), fix="download it again"
        ) from error
    return found


def blob_array(blob: Any, where: str) -> Array:
    """The array of a `BlobProto` in fp32; ModelError when numbers and shape do not fit."""
    shape, values = _shape(blob), _values(blob, where)
    if any(d < 0 for d in shape) or math.prod(shape) > _MAX_ELEMENTS:
        raise ModelError(f"has the impossible shape {shape}", where=where, fix="download it again")
    if math.prod(shape) != values.size:
        raise ModelError(
            f"has {values.size} numbers for the shape {'x'.join(map(str, shape)) or 'scalar'}",
            where=where,
            fix="the file is damaged: download it again",
        )
    with np.errstate(all="ignore"):
        return values.astype(np.float32, copy=False).reshape(shape)


def _shape(blob: Any) -> Shape:
    """The declared shape; old files have four fixed dimensions instead."""
    if blob.HasField("shape"):
        return tuple(int(d) for d in blob.shape.dim)
    if any(blob.HasField(name) for name in ("num", "channels", "height", "width")):
        return int(blob.num), int(blob.channels), int(blob.height), int(blob.width)
    return ()


def _values(blob: Any, where: str) -> Array:
    if blob.HasField("raw_data"):
        if blob.raw_data_type not in _RAW:
            raise UnsupportedError("holds numbers of an unknown type", where=where)
        return _array([blob.raw_data], _RAW[blob.raw_data_type], where)
    if blob.data:
        return _array(blob.data, np.dtype("<f4"), where)
    if blob.double_data:
        return _array(blob.double_data, np.dtype("<f8"), where)
    unpacked = schema.classes()["UnpackedBlob"].FromString(blob.SerializeToString())
    return np.array(unpacked.data or unpacked.double_data, np.float32)


def _array(parts: Sequence[bytes], dtype: np.dtype[Any], where: str) -> Array:
    data = parts[0] if len(parts) == 1 else b"".join(parts)
    if len(data) % dtype.itemsize:
        raise ModelError("is cut off within a number", where=where, fix="download it again")
    return np.frombuffer(data, dtype)
