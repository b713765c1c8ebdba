"""Bring a user's array to the stored form of a tensor, as the host does."""

from __future__ import annotations

import numpy as np

from cvi.errors import InputError
from cvi.ir.types import Array, DType
from cvi_tpu.model.schema import Tensor
from cvi_tpu.sim.memory import Bytes


def encode_input(value: Array, tensor: Tensor) -> Bytes:
    """The tensor's bytes for `value`.

    Arrays of the stored type are taken as they are (BF16: uint16 patterns). Floats for an
    integer tensor become x * qscale + zero point, rounded half away from zero and
    saturated; floats for BF16 are truncated, as the vendor's own runner does.
    """
    value = np.asarray(value)
    if value.dtype.kind not in "fiub":
        raise InputError(f"{value.dtype} is no number type", where=f"input {tensor.name}")
    if value.dtype != tensor.dtype.numpy:
        value = _converted(value, tensor)
    if value.nbytes != tensor.bytes:
        raise InputError(
            f"{value.nbytes} bytes (shape {value.shape}) were given, {tensor.bytes} are needed"
            f" (shape {tensor.shape}, {tensor.dtype.value}{', aligned' * tensor.aligned})",
            where=f"input {tensor.name}",
        )
    return np.frombuffer(np.ascontiguousarray(value).tobytes(), np.uint8)


def _converted(value: Array, tensor: Tensor) -> Array:
    if tensor.dtype is DType.FP32:
        return value.astype(np.float32)
    if tensor.dtype is DType.BF16:
        raw = np.ascontiguousarray(value, np.float32).view(np.uint32)
        high: Array = (raw >> np.uint32(16)).astype(np.uint16)
        return high
    if value.dtype.kind == "f":
        x = value.astype(np.float32) * np.float32(tensor.qscale) + np.float32(tensor.zero_point)
        # in double precision adding a half does not round up 0.49999997
        wide = x.astype(np.float64)
        value = np.nan_to_num(np.trunc(wide + np.copysign(0.5, wide)))
    limits = np.iinfo(tensor.dtype.numpy)
    clipped: Array = np.clip(value, limits.min, limits.max)
    return clipped.astype(tensor.dtype.numpy)
