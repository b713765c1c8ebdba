"""Second stage of argmax: the TPU gave the maximum of every 256 elements."""

from __future__ import annotations

from math import prod

import numpy as np

from cvi.errors import ModelError
from cvi.ir.types import Array, DType
from cvi_tpu.runtime.functions.call import Call
from cvi_tpu.runtime.functions.registry import cpu_function

BLOCK = 256


@cpu_function("argmax")
def argmax(call: Call) -> list[Array]:
    """Index of the largest element of each row, fp32.

    Only positive maxima count (vendor's fault): a row without them gives the index of the
    first 0 in its first block, else 0.
    """
    rows, maxima, _ = _operands(call)
    call.fills(len(rows))
    positive = np.maximum(maxima, 0)
    return [_index(rows, positive.argmax(axis=1), positive.max(axis=1)).astype(np.float32)]


@cpu_function("argmax_with_conf")
def argmax_with_conf(call: Call) -> list[Array]:
    """Pairs of the largest element (int8: times `scale`) and its index, fp32."""
    rows, maxima, dtype = _operands(call)
    scale = call.argument("scale", float) if dtype is DType.INT8 else 1.0
    call.fills(2 * len(rows))
    largest = maxima.max(axis=1)
    index = _index(rows, maxima.argmax(axis=1), largest)
    return [np.stack([_value(largest, dtype, scale), index.astype(np.float32)], axis=1)]


@cpu_function("argmax_v3")
def argmax_v3(call: Call) -> list[Array]:
    """Index of the largest element; with a second output also the element (int8: times
    `scale`, 1 when absent), both fp32."""
    rows, maxima, dtype = _operands(call)
    scale = call.optional("scale", 1.0)
    call.fills(len(rows))
    largest = maxima.max(axis=1)
    index = _index(rows, maxima.argmax(axis=1), largest).astype(np.float32)
    if len(call.outputs) < 2:
        return [index]
    call.fills(len(rows), index=1)
    return [index, _value(largest, dtype, scale)]


def _operands(call: Call) -> tuple[Array, Array, DType]:
    """Rows along the axis, their maxima per block, and the element type.

    BF16 is compared as int16, so among negative values the smallest wins (vendor's fault).
    What follows the axis is taken as if it were not there.
    """
    data = call.operand(0, DType.INT8, DType.BF16, DType.INT16)
    maxima, axis = call.operand(1, data.dtype), call.axis()
    count, length = prod(data.values.shape[:axis]), data.values.shape[axis]
    blocks = -(-length // BLOCK)
    if maxima.values.size < count * blocks:
        raise ModelError(
            f"{count} rows of {length} need {count * blocks} maxima, not {maxima.values.size}",
            where=maxima.name,
        )
    signed = np.int8 if data.dtype is DType.INT8 else np.int16
    rows = data.values.reshape(-1)[: count * length].view(signed).reshape(count, length)
    tiles = maxima.values.reshape(-1)[: count * blocks].view(signed).reshape(count, blocks)
    return rows, tiles, data.dtype


def _index(rows: Array, block: Array, largest: Array) -> Array:
    """First position in the row's block with that value; the block's start when there is
    none."""
    padded = np.zeros((len(rows), -(-rows.shape[1] // BLOCK) * BLOCK), bool)
    padded[:, : rows.shape[1]] = rows == largest[:, None]
    chosen = padded.reshape(len(rows), -1, BLOCK)[np.arange(len(rows)), block]
    index: Array = block * BLOCK + chosen.argmax(axis=1)
    return index


def _value(largest: Array, dtype: DType, scale: float) -> Array:
    if dtype is DType.INT8:
        scaled: Array = largest.astype(np.float32) * np.float32(scale)
        return scaled
    bits = largest.astype(np.int32) << np.int32(16)
    value: Array = bits.view(np.float32)
    return value
