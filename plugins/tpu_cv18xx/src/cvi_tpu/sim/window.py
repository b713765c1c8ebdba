"""Windows over an input: padding, insertion, strides and dilation (FACTS_TPU 3.5)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from cvi.errors import RunnerError
from cvi.ir.types import Array
from cvi_tpu.isa.instructions import Window
from cvi_tpu.isa.operands import Local
from cvi_tpu.sim.memory import MOST_ELEMENTS, LocalMemory, check_size, element, fill


def expanded_size(size: int, insert: int, last: int, pads: int) -> int:
    """Rows (columns) after insertion and padding."""
    return (size - 1) * (insert + 1) + 1 + last + pads


def expand(
    memory: LocalMemory, tensor: Local, window: Window, dtype: np.dtype[Any], value: float
) -> Array:
    """The input (n, c, H, W) with `value` inserted and padded, as `dtype`."""
    n, c, h, w = tensor.shape
    top, left, bottom, right = window.pads
    step_h, step_w = (i + 1 for i in window.insert)
    pieces = memory.pieces(
        tensor.address, tensor.shape, tensor.strides, element(tensor.signed, tensor.bf16)
    )
    full_h = expanded_size(h, window.insert[0], window.insert_last[0], top + bottom)
    full_w = expanded_size(w, window.insert[1], window.insert_last[1], left + right)
    check_size((n, c, full_h, full_w), MOST_ELEMENTS // 2)
    if (full_h, full_w) == (h, w):
        out: Array = np.empty(tensor.shape, dtype)
        fill(out, pieces)
        return out
    out = np.full((n, c, full_h, full_w), value, dtype)
    rows = slice(top, top + (h - 1) * step_h + 1, step_h)
    columns = slice(left, left + (w - 1) * step_w + 1, step_w)
    fill(out[:, :, rows, columns], pieces)
    return out


def check_output(window: Window, expanded: Array, result: Local, *, whole: bool = True) -> None:
    """RunnerError unless the result has the size that the window gives, or with
    `whole=False` at most that."""
    for axis in (0, 1):
        extent = (window.kernel[axis] - 1) * window.dilation[axis] + 1
        size = (expanded.shape[2 + axis] - extent) // window.stride[axis] + 1
        asked = result.shape[2 + axis]
        if asked > size or (whole and asked < size):
            raise RunnerError(
                f"an instruction declares an output of {result.shape[2:]} where its window over"
                f" {expanded.shape[2:]} gives {size} along axis {axis}"
            )


def taps(window: Window, expanded: Array, height: int, width: int) -> Iterator[Array]:
    """For each kernel position, row by row, its view (n, c, height, width)."""
    (kh, kw), (sy, sx), (dy, dx) = window.kernel, window.stride, window.dilation
    for y in range(0, kh * dy, dy):
        rows = slice(y, y + (height - 1) * sy + 1, sy)
        for x in range(0, kw * dx, dx):
            yield expanded[:, :, rows, x : x + (width - 1) * sx + 1 : sx]
