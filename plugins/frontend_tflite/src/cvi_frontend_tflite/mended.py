"""The file that the reference interpreter is given: the model with two things mended.

Older converters wrote the axis of the weights' scales into biases, which have one
dimension; interpreters ignored that until they began to refuse it.

Integer weights of an op that computes with floats ("dynamic range") stand for real
numbers. The interpreter's kernels for them round the data as well, each time anew, so
that a comparison would show their rounding and nothing else: they are given as floats.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from cvi_frontend_tflite.schema import Model
from cvi_frontend_tflite.tensors import constant, is_quantised

_AXIS_SLOT = 16
"""Places of fields in their tables: `quantized_dimension` of QuantizationParameters,
`data` of Buffer, `type` of Tensor."""
_DATA_SLOT = 4
_TYPE_SLOT = 6
_FLOAT32 = 0
_ALIGNMENT = 16


def mended(data: bytes, model: Model) -> bytes:
    """The file with axis 0 for the scales of all tensors of one dimension, and with float
    weights where floats are computed."""
    import tflite

    root = tflite.Model.GetRootAsModel(data, 0)
    graph, file = root.Subgraphs(0), bytearray(data)
    for i, tensor in enumerate(model.tensors):
        table = graph.Tensors(i)
        if tensor.quantization and tensor.quantization.axis and len(tensor.shape) == 1:
            _patch(file, "<i", table.Quantization(), _AXIS_SLOT, 0)
    for i in sorted(_float_weights(model)):
        _patch(file, "<b", graph.Tensors(i), _TYPE_SLOT, _FLOAT32)
        buffer = root.Buffers(model.tensors[i].buffer)
        _replace(file, buffer, constant(model, model.tensors[i]).astype("<f4").tobytes())
    return bytes(file)


def _float_weights(model: Model) -> set[int]:
    """Integer constants that stand for real numbers and are read beside floats."""
    constants = model.constants()
    return {
        t
        for op in model.operators
        if op.name != "DEQUANTIZE" and op.outputs
        if model.tensors[op.outputs[0]].type == "FLOAT32"
        for t in op.inputs
        if t in constants and is_quantised(model.tensors[t])
    }


def _patch(file: bytearray, form: str, table: Any, slot: int, value: int) -> None:
    """Overwrite a field of a table, if it is stored."""
    place = table._tab.Offset(slot)
    if place:
        struct.pack_into(form, file, table._tab.Pos + place, value)


def _replace(file: bytearray, buffer: Any, content: bytes) -> None:
    """Let the buffer point to a new vector behind the end of the file."""
    field = buffer._tab.Pos + buffer._tab.Offset(_DATA_SLOT)
    start = -(-(len(file) + 4) // _ALIGNMENT) * _ALIGNMENT  # of the content, behind its length
    file.extend(bytes(start - 4 - len(file)))
    file.extend(np.uint32(len(content)).tobytes() + content)
    struct.pack_into("<I", file, field, start - 4 - field)
