"""From 32-bit accumulators to results: bias, requantisation, relu (FACTS_TPU 3.5)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cvi.ir.types import Array
from cvi_tpu.isa.instructions import Quant
from cvi_tpu.isa.operands import Local, ceil_div
from cvi_tpu.sim.integer import requantize, saturate, shift_right
from cvi_tpu.sim.memory import LocalMemory, element

_BLOCK = 1 << 15
"""Accumulators requantised at once: 64-bit temporaries that stay in the cache."""


def finish(
    memory: LocalMemory, acc: Array, quant: Quant, result: Local, *, unsigned: bool = False
) -> None:
    """Turn accumulators int32 (n, channels, h, w) into the 8-bit result and store it.

    unsigned: the accumulator is an unsigned 32-bit number (opt_shift_typ 0).
    """
    n, c, h, w = result.shape
    flat = acc.reshape(n, c, h * w)
    out = np.empty(flat.shape, element(result.signed))
    step = max(1, _BLOCK // (h * w))
    scale = _per_channel if quant.per_channel else _per_tensor
    parameters = _records(memory, quant, c) if quant.per_channel else _bias16(memory, quant, c)
    for i in range(n):
        for start in range(0, c, step):
            block = slice(start, start + step)
            given = tuple(None if p is None else p[block] for p in parameters)
            values = scale(flat[i, block], given, quant, unsigned)
            out[i, block] = saturate(values, result.signed, relu=quant.relu)
    memory.write(result.address, result.strides, out.reshape(result.shape))


Parameters = tuple[npt.NDArray[np.int32] | None, ...]


def _per_channel(acc: Array, given: Parameters, quant: Quant, unsigned: bool) -> Array:
    bias, multiplier, shift = given
    if bias is not None:
        acc = acc + bias
    assert multiplier is not None and shift is not None
    return requantize(acc, multiplier, shift)


def _per_tensor(acc: Array, given: Parameters, quant: Quant, unsigned: bool) -> Array:
    (bias,) = given
    if bias is not None:
        acc = acc + bias
    wide = acc.view(np.uint32) if unsigned else acc
    return shift_right(wide.astype(np.int64), quant.shift)


def _records(memory: LocalMemory, quant: Quant, c: int) -> Parameters:
    """Bias (or None), multiplier and shift as int32 (c, 1) out of the packed records."""
    size = 9 if quant.bias else 5
    raw = memory.read(quant.records, (1, c, 1, size), (0, size, size, 1), element(False))
    raw = np.ascontiguousarray(raw).reshape(c, size)
    words = np.ascontiguousarray(raw[:, : size - 1]).view("<i4")
    shift = raw[:, size - 1 :].astype(np.int32)
    return (words[:, :1] if quant.bias else None, words[:, -1:], shift)


def _bias16(memory: LocalMemory, quant: Quant, c: int) -> Parameters:
    """The 16-bit bias as int32 (c, 1), or None."""
    if not quant.bias:
        return (None,)
    tensor = Local(
        quant.records,
        (1, c, 1, 1),
        (0, 1, 1, 1),
        quant.bias_signed,
        plane=ceil_div(c, memory.lanes),
    )
    return (memory.integers(tensor).reshape(c, 1).astype(np.int32),)
