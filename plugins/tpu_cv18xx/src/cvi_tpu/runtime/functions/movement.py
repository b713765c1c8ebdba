"""Functions that only move elements."""

from __future__ import annotations

import numpy as np

from cvi.errors import ModelError, UnsupportedError
from cvi.ir.types import Array, DType
from cvi_tpu.runtime.functions.call import Call
from cvi_tpu.runtime.functions.registry import cpu_function


@cpu_function("transpose")
def transpose(call: Call) -> list[Array]:
    """NHWC data to the NCHW shape of the output, fp32."""
    x, (n, c, h, w) = call.fp32(0), call.output(DType.FP32).shape[:4]
    if x.size != n * c * h * w:
        raise ModelError(f"transpose of {x.shape} to {(n, c, h, w)}")
    return [x.reshape(n, h, w, c).transpose(0, 3, 1, 2)]


@cpu_function("pixelshuffle")
def pixelshuffle(call: Call) -> list[Array]:
    """Depth to space of 8-bit elements, in the order DCR (depth, column, row).

    Input channel (i * r + j) * channels + c of a cell goes to channel c, row i and column j
    of the cell's r x r block. The vendor's function has no other order.
    """
    operand = call.operand(0, DType.INT8, DType.UINT8)
    n, depth, h, w = operand.values.shape
    r, mode = call.positive("upscale_factor"), call.argument("mode", str)
    if mode != "DCR":
        raise UnsupportedError(f"argument 'mode' of pixelshuffle is {mode!r}, not 'DCR'")
    out = call.output(operand.dtype)
    channels = out.shape[1]
    if tuple(out.shape[:4]) != (n, channels, h * r, w * r) or channels * r * r != depth:
        raise ModelError(
            f"pixelshuffle by {r} of {operand.values.shape} to {tuple(out.shape[:4])}",
            where=out.name,
        )
    blocks = operand.values.reshape(n, r, r, channels, h, w)
    return [blocks.transpose(0, 3, 4, 1, 5, 2)]


@cpu_function("embedding")
def embedding(call: Call) -> list[Array]:
    """Rows of a table by index.

    Inputs: indices of 16 or 32 bits, and a table of 8 or 16 bits, whose rows are its second
    dimension long (not all that follows the first). An index outside the table is refused:
    the vendor's function reads whatever lies there.
    """
    indices = call.operand(0, DType.INT16, DType.UINT16, DType.INT32, DType.UINT32).values
    table = call.operand(1, DType.INT8, DType.INT16, DType.UINT16, DType.BF16)
    length = table.values.shape[1]
    call.fills(indices.size * length, table.dtype)
    rows = table.values.reshape(-1, length)
    check_indices(indices, rows.shape[0], call.inputs[0].name)
    return [rows[indices.reshape(-1).astype(np.int64)]]


def check_indices(indices: Array, count: int, name: str) -> None:
    """Refuse indices that would read outside of `count` elements."""
    wrong = indices[(indices < 0) | (indices >= count)]
    if wrong.size:
        raise ModelError(
            f"index {int(wrong.flat[0])} is outside of the {count} that there are; the vendor's"
            " runtime would read other memory",
            where=name,
        )
