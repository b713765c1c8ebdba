"""Pooling on 8-bit tensors (FACTS_TPU 3.6)."""

from __future__ import annotations

from functools import reduce

import numpy as np

from cvi.ir.types import Array
from cvi_tpu.isa.instructions import Pool, PoolOp
from cvi_tpu.sim.integer import saturate, shift_right
from cvi_tpu.sim.memory import LocalMemory, element
from cvi_tpu.sim.window import check_output, expand, taps


def pool(memory: LocalMemory, op: Pool) -> None:
    """Execute a pooling with 8-bit input and result."""
    dtype = element(op.input.signed) if op.op is not PoolOp.AVG else np.dtype(np.int32)
    x = expand(memory, op.input, op.window, dtype, op.window.fill)
    check_output(op.window, x, op.result, whole=False)
    _, _, oh, ow = op.result.shape
    views = taps(op.window, x, oh, ow)
    if op.op is PoolOp.AVG:
        values = _average(list(views), op)
    else:
        # the fill value itself takes part, padded or not
        choose = np.maximum if op.op is PoolOp.MAX else np.minimum
        values = reduce(choose, views, dtype.type(op.window.fill)).astype(np.int16)
    memory.store(op.result, saturate(values, op.result.signed))


def _average(views: list[Array], op: Pool) -> Array:
    total = np.zeros(op.result.shape, np.int64)
    for view in views:
        total += view
    total *= op.multiplier
    return shift_right(total, op.shift)
