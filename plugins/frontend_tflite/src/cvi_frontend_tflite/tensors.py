"""The content of constant tensors: stored integers become the real numbers they stand for."""

from __future__ import annotations

import math

import numpy as np

from cvi.errors import ModelError, UnsupportedError
from cvi.importing.constants import check_elements
from cvi.ir import Array
from cvi_frontend_tflite.schema import Model, Tensor

_NUMPY: dict[str, str] = {
    "FLOAT32": "<f4",
    "FLOAT16": "<f2",
    "FLOAT64": "<f8",
    "INT8": "i1",
    "UINT8": "u1",
    "INT16": "<i2",
    "UINT16": "<u2",
    "INT32": "<i4",
    "UINT32": "<u4",
    "INT64": "<i8",
    "UINT64": "<u8",
    "BOOL": "?",
}
FLOATS = ("FLOAT32", "FLOAT16", "FLOAT64", "BFLOAT16")
_QUANTISED = ("INT4", "INT8", "UINT8", "INT16", "INT32", "INT64")


def element_type(tensor: Tensor) -> np.dtype[np.generic]:
    """float32 for a tensor of real numbers, stored as floats or as scaled integers; the
    integer type of others. UnsupportedError for strings, complex numbers and the like."""
    if tensor.type in FLOATS or is_quantised(tensor):
        return np.dtype(np.float32)
    return numpy_type(tensor)


def numpy_type(tensor: Tensor) -> np.dtype[np.generic]:
    """How numpy holds what is stored. UnsupportedError for types that it does not have."""
    if tensor.type not in _NUMPY:
        raise UnsupportedError(f"the tensor {tensor.name!r} is of type {tensor.type}")
    return np.dtype(_NUMPY[tensor.type])


def is_quantised(tensor: Tensor) -> bool:
    """Whether the tensor holds integers that stand for real numbers."""
    return tensor.quantization is not None and tensor.type in _QUANTISED


def constant(model: Model, tensor: Tensor) -> Array:
    """The content: fp32 for real numbers (weights: (q - zero point) * scale), else integers."""
    stored = _stored(model, tensor)
    if tensor.type in FLOATS:
        with np.errstate(all="ignore"):
            return stored.astype(np.float32, copy=False)
    return _real(stored, tensor) if is_quantised(tensor) else stored


def _stored(model: Model, tensor: Tensor) -> Array:
    if tensor.sparse:
        raise UnsupportedError(f"the tensor {tensor.name!r} is stored sparsely")
    check_elements(tensor.shape, f"the constant {tensor.name!r}")
    data, elements = model.buffers[tensor.buffer], math.prod(tensor.shape)
    packed = tensor.type == "INT4"
    bits = 4 if packed else 16 if tensor.type == "BFLOAT16" else numpy_type(tensor).itemsize * 8
    if data.nbytes != -(-elements * bits // 8):
        raise ModelError(
            f"the constant {tensor.name!r} has {data.nbytes} bytes, "
            f"but {elements} elements of {tensor.type}",
            fix="the file is damaged: download or export it again",
        )
    if packed:
        return _nibbles(np.frombuffer(data, np.uint8))[:elements].reshape(tensor.shape)
    if tensor.type == "BFLOAT16":
        bits16 = np.frombuffer(data, "<u2").astype(np.uint32)
        return (bits16 << 16).view(np.float32).reshape(tensor.shape)
    return np.frombuffer(data, numpy_type(tensor)).reshape(tensor.shape)


def _nibbles(data: Array) -> Array:
    """Two signed integers of 4 bits per byte, the lower half first."""
    pairs = np.stack([data & 15, data >> 4], axis=1).ravel().astype(np.int8)
    return np.where(pairs > 7, pairs - 16, pairs).astype(np.int8)


def _real(stored: Array, tensor: Tensor) -> Array:
    scales, zeros = _along(stored, tensor)
    if stored.dtype.itemsize > 2:  # a bias: more digits than fp32 has
        return np.asarray((stored.astype(np.float64) - zeros) * scales).astype(np.float32)
    return np.asarray((stored.astype(np.float32) - zeros.astype(np.float32)) * scales)


def _along(stored: Array, tensor: Tensor) -> tuple[Array, Array]:
    """Scales and zero points in a shape that broadcasts with the content."""
    q = tensor.quantization
    assert q is not None
    if q.per_tensor:
        return q.scales.reshape(()), q.zero_points.reshape(())
    axis = 0 if stored.ndim == 1 else q.axis  # biases often name the weights' axis
    if not 0 <= axis < stored.ndim or stored.shape[axis] != len(q.scales):
        raise ModelError(f"the scales of {tensor.name!r} do not fit its shape")
    shape = [1] * stored.ndim
    shape[axis] = len(q.scales)
    return q.scales.reshape(shape), q.zero_points.reshape(shape)
