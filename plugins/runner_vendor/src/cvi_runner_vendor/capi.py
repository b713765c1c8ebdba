"""The vendor runtime's C interface by ctypes. Used in the child process only: the
libraries abort the process on malformed input, and simulate one chip per process."""

from __future__ import annotations

import ctypes as c
import os
from pathlib import Path
from typing import Any

import numpy as np

from cvi.ir.types import Array
from cvi_runner_vendor.libraries import SHA256

OPTION_ALL_TENSORS = 4
OPTION_PROGRAM = 9

FORMATS = ("fp32", "int32", "uint32", "bf16", "int16", "uint16", "int8", "uint8")
_NUMPY = ("f4", "i4", "u4", "u2", "i2", "u2", "i1", "u1")


class _Shape(c.Structure):
    _fields_ = [("dim", c.c_int32 * 6), ("size", c.c_size_t)]


class _Tensor(c.Structure):
    """CVI_TENSOR (FACTS_TOOLCHAIN 12.3)."""

    _fields_ = [
        ("name", c.c_char_p),
        ("shape", _Shape),
        ("format", c.c_int),
        ("count", c.c_size_t),
        ("mem_size", c.c_size_t),
        ("memory", c.c_void_p),
        ("physical", c.c_uint64),
        ("mem_type", c.c_int),
        ("qscale", c.c_float),
        ("zero_point", c.c_int),
        ("pixel_format", c.c_int),
        ("aligned", c.c_bool),
        ("mean", c.c_float * 3),
        ("scale", c.c_float * 3),
        ("owner", c.c_void_p),
        ("reserved", c.c_char * 32),
    ]


class VendorError(Exception):
    """The runtime returned an error code."""


def load(folder: Path) -> Any:
    """The runtime library, with the two it needs loaded before it."""
    library: Any = None
    for name in SHA256:
        library = c.CDLL(str(folder / name), mode=c.RTLD_GLOBAL)
    handle, tensors, count = c.c_void_p, c.POINTER(c.POINTER(_Tensor)), c.POINTER(c.c_int32)
    library.CVI_NN_RegisterModel.argtypes = [c.c_char_p, c.POINTER(handle)]
    library.CVI_NN_GetInputOutputTensors.argtypes = [handle, tensors, count, tensors, count]
    array = c.POINTER(_Tensor)
    library.CVI_NN_Forward.argtypes = [handle, array, c.c_int32, array, c.c_int32]
    return library


class VendorModel:
    """A model registered with the runtime; numbers of the file are not checked here."""

    def __init__(self, folder: Path, path: str, program: int, all_tensors: bool) -> None:
        self._api = load(folder)
        self._handle = c.c_void_p()
        self._call("RegisterModel", os.fsencode(path), c.byref(self._handle))
        for option, value in ((OPTION_PROGRAM, program), (OPTION_ALL_TENSORS, int(all_tensors))):
            self._api.CVI_NN_SetConfig(self._handle, c.c_int(option), c.c_int32(value))
        self._in, self._out = c.POINTER(_Tensor)(), c.POINTER(_Tensor)()
        n_in, n_out = c.c_int32(), c.c_int32()
        self._call(
            "GetInputOutputTensors",
            self._handle,
            c.byref(self._in),
            c.byref(n_in),
            c.byref(self._out),
            c.byref(n_out),
        )
        self._n_in, self._n_out = n_in.value, n_out.value

    def _call(self, function: str, *args: object) -> None:
        code = getattr(self._api, f"CVI_NN_{function}")(*args)
        if code != 0:
            raise VendorError(f"{function} failed with code {code}")

    def describe(self) -> dict[str, list[dict[str, Any]]]:
        """Inputs and outputs as plain data."""
        return {
            "inputs": [_describe(self._in[i]) for i in range(self._n_in)],
            "outputs": [_describe(self._out[i]) for i in range(self._n_out)],
        }

    def run(self, inputs: dict[str, Array]) -> dict[str, Array]:
        """One forward pass on arrays in the tensors' stored types."""
        for i in range(self._n_in):
            tensor = self._in[i]
            data = np.ascontiguousarray(inputs[tensor.name.decode()]).tobytes()
            if len(data) != tensor.mem_size:
                raise VendorError(f"an input has {len(data)} bytes, not {tensor.mem_size}")
            c.memmove(tensor.memory, data, len(data))
        self._call("Forward", self._handle, self._in, self._n_in, self._out, self._n_out)
        outputs = (self._out[i] for i in range(self._n_out))
        return {t.name.decode(): _read(t) for t in outputs if t.memory}


def _describe(tensor: _Tensor) -> dict[str, Any]:
    return {
        "name": tensor.name.decode("utf-8", "replace"),
        "shape": [tensor.shape.dim[i] for i in range(tensor.shape.size)],
        "format": FORMATS[tensor.format],
        "bytes": tensor.mem_size,
        "qscale": tensor.qscale,
        "zero_point": tensor.zero_point,
        "aligned": bool(tensor.aligned),
    }


def _read(tensor: _Tensor) -> Array:
    dtype = np.dtype(_NUMPY[tensor.format])
    raw: Array = np.frombuffer(c.string_at(tensor.memory, tensor.mem_size), dtype)
    if tensor.mem_size == tensor.count * dtype.itemsize:
        return raw.reshape([tensor.shape.dim[i] for i in range(tensor.shape.size)])
    return raw
