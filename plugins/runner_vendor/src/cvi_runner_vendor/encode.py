"""Bring a user's array to the type in which a tensor is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cvi.errors import InputError
from cvi.ir.types import Array

if TYPE_CHECKING:
    from cvi_runner_vendor.session import TensorInfo

_NUMPY = {"fp32": "f4", "int32": "i4", "uint32": "u4", "bf16": "u2"}
_NUMPY |= {"int16": "i2", "uint16": "u2", "int8": "i1", "uint8": "u1"}


def stored(value: Array, tensor: TensorInfo) -> Array:
    """`value` as the bytes of `tensor`.

    An array of the stored type is taken as it is (BF16: uint16 patterns). Floats for an
    8-bit tensor become x * qscale + zero point, rounded half away from zero and
    saturated; floats for BF16 are truncated, as the vendor's own runner does; integers
    are saturated.
    """
    value = np.asarray(value)
    dtype = np.dtype(_NUMPY[tensor.format])
    if value.dtype != dtype:
        value = _convert(value, tensor, dtype)
    if value.nbytes != tensor.bytes:
        raise InputError(
            f"{value.nbytes} bytes (shape {value.shape}) were given, {tensor.bytes} are needed"
            f" (shape {tensor.shape}, {tensor.format}{', aligned' * tensor.aligned})",
            where=f"input {tensor.name}",
        )
    return np.ascontiguousarray(value)


def _convert(value: Array, tensor: TensorInfo, dtype: np.dtype[Any]) -> Array:
    if value.dtype.kind not in "fiub":
        raise InputError(f"{value.dtype} is no number type", where=f"input {tensor.name}")
    if tensor.format == "fp32":
        return value.astype(np.float32)
    if tensor.format == "bf16":
        bits = np.ascontiguousarray(value, np.float32).view(np.uint32)
        high: Array = (bits >> np.uint32(16)).astype(np.uint16)
        return high
    if value.dtype.kind == "f":
        scaled = value.astype(np.float32) * np.float32(tensor.qscale)
        # half away from zero; in double precision adding a half does not round up 0.49999997
        wide = (scaled + np.float32(tensor.zero_point)).astype(np.float64)
        value = np.trunc(wide + np.copysign(0.5, wide))
    limits = np.iinfo(dtype.str)
    clipped: Array = np.clip(np.nan_to_num(value), limits.min, limits.max)
    return clipped.astype(dtype)
