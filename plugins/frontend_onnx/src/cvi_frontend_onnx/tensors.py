"""ONNX tensors to numpy arrays, also those kept in files beside the model."""

from __future__ import annotations

import functools
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cvi.errors import ModelError, UnsupportedError
from cvi.importing.constants import check_elements
from cvi.ir import Array

if TYPE_CHECKING:
    from onnx import TensorProto

MAX_CONSTANT_ELEMENTS = 1 << 30
"""Most elements of a tensor whose content the file holds."""


class Tensors:
    """Reads the tensors of one model.

    folder: the model's own; external data is read from nowhere else.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def array(self, proto: TensorProto, where: str) -> Array:
        """The content of a tensor; a view of the file for external data. ModelError if broken."""
        shape = tuple(proto.dims)
        check_elements(shape, f"the tensor {where!r}", MAX_CONSTANT_ELEMENTS)
        if proto.HasField("segment"):
            raise UnsupportedError("the tensor is stored in segments", where=where)
        if proto.data_location == 1:
            return self._external(proto, where)
        if proto.HasField("raw_data"):
            return _from_raw(proto.raw_data, _dtype(proto, where), proto.data_type, shape, where)
        return _from_fields(proto, shape, where)

    def _external(self, proto: TensorProto, where: str) -> Array:
        keys = {entry.key: entry.value for entry in proto.external_data}
        path = self._inside(keys.get("location", ""), where)
        dtype, shape = _dtype(proto, where), tuple(proto.dims)
        offset = _whole_number(keys.get("offset", "0"), where)
        packed = _packed_bytes(proto.data_type, shape)
        size = math.prod(shape) * dtype.itemsize if packed is None else packed
        length = _whole_number(keys.get("length", str(size)), where)
        if length != size or offset + size > path.stat().st_size:
            raise ModelError(
                f"the tensor needs {size} bytes at {offset} of {path.name}, "
                f"the model says {length}, the file has {path.stat().st_size}",
                where=where,
                fix="get the model and its data file again, from the same export",
            )
        if packed is not None or sys.byteorder == "big" or not size:
            with path.open("rb") as file:
                file.seek(offset)
                return _from_raw(file.read(size), dtype, proto.data_type, shape, where)
        return np.memmap(path, dtype, "r", offset, shape or (1,)).reshape(shape)

    def _inside(self, location: str, where: str) -> Path:
        """The path of an external data file, which must lie in the model's own folder."""
        folder = self._folder.resolve()
        path = Path(location)
        plain = bool(location) and "\0" not in location and not path.is_absolute()
        if not plain or ".." in path.parts or "\\" in location or ":" in location:
            raise ModelError(
                f"the model wants to read {location!r}, outside its own folder",
                where=where,
                fix="export the model with its data files beside it",
            )
        resolved = (folder / path).resolve()
        if not resolved.is_relative_to(folder):
            raise ModelError(f"{location!r} leads out of the model's folder", where=where)
        if not resolved.is_file():
            raise ModelError(
                f"the data file {location!r} is missing",
                where=where,
                fix=f"put it into {self._folder}",
            )
        return resolved


def element_type(code: int, where: str) -> np.dtype[Any]:
    """The numpy type of an ONNX element type."""
    from onnx import helper

    try:
        dtype = helper.tensor_dtype_to_np_dtype(code)
    except (KeyError, ValueError, TypeError):
        raise ModelError(f"unknown element type {code}", where=where) from None
    if dtype.kind in "OSUc":
        raise UnsupportedError(f"elements of type {_type_name(code)}", where=where)
    return dtype


def _dtype(proto: TensorProto, where: str) -> np.dtype[Any]:
    return element_type(proto.data_type, where)


def _type_name(code: int) -> str:
    from onnx import TensorProto

    return str(TensorProto.DataType.Name(code)).lower()


def _packed_bytes(data_type: int, shape: tuple[int, ...]) -> int | None:
    """Bytes of a tensor whose element type numpy itself does not have, None for the others."""
    bits = _foreign_bits().get(data_type)
    return None if bits is None else (math.prod(shape) * bits + 7) // 8


@functools.cache
def _foreign_bits() -> dict[int, int]:
    """Element types that onnx unpacks (into what depends on its version) -> bits."""
    from onnx import TensorProto

    names = {"BFLOAT16": 16, "UINT4": 4, "INT4": 4, "UINT2": 2, "INT2": 2}
    known = dict(TensorProto.DataType.items())
    floats = {name: 8 for name in known if name.startswith("FLOAT8")}
    quarters = {name: 4 for name in known if name.startswith("FLOAT4")}
    return {known[n]: bits for n, bits in (names | floats | quarters).items() if n in known}


def _from_raw(
    raw: bytes, dtype: np.dtype[Any], data_type: int, shape: tuple[int, ...], where: str
) -> Array:
    packed = _packed_bytes(data_type, shape)
    expected = math.prod(shape) * dtype.itemsize if packed is None else packed
    if len(raw) != expected:
        raise ModelError(f"the tensor should have {expected} bytes but has {len(raw)}", where=where)
    if packed is not None:
        from onnx import TensorProto, numpy_helper

        proto = TensorProto(data_type=data_type, dims=shape, raw_data=raw)
        return np.asarray(numpy_helper.to_array(proto))
    return np.frombuffer(raw, dtype.newbyteorder("<")).astype(dtype, copy=False).reshape(shape)


def _from_fields(proto: TensorProto, shape: tuple[int, ...], where: str) -> Array:
    """A tensor in one of the typed repeated fields (float_data, int64_data, …)."""
    from onnx import numpy_helper

    _dtype(proto, where)
    try:
        array = np.asarray(numpy_helper.to_array(proto))
    except (ValueError, TypeError, OverflowError, IndexError, KeyError) as error:
        raise ModelError(
            f"the content of the tensor does not fit its type: {error}", where=where
        ) from error
    if tuple(array.shape) != shape:
        raise ModelError(f"the tensor should be {shape} but is {array.shape}", where=where)
    return array


def _whole_number(text: str, where: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise ModelError(f"{text!r} is no offset or length of a data file", where=where)
    return int(text)
