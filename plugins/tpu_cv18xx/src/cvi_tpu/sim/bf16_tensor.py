"""Tensor arithmetic and pooling in BF16 (FACTS_TPU 3.4, 3.6)."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

import numpy as np

from cvi.errors import UnsupportedError
from cvi.ir.types import Array
from cvi_tpu.isa.instructions import Arith, ArithOp, Const, Pool, PoolOp
from cvi_tpu.sim import bf16
from cvi_tpu.sim.bf16 import Float32
from cvi_tpu.sim.memory import LocalMemory
from cvi_tpu.sim.window import check_output, expand, taps


def arith(memory: LocalMemory, op: Arith) -> None:
    """Execute tensor arithmetic on BF16 tensors."""
    left = bf16.decode(memory.tensor(op.left))
    if op.op is ArithOp.COPY:
        values = left
    elif op.op is ArithOp.MAC:
        values = bf16.add(bf16.multiply(left, _right(memory, op)), _result(memory, op))
    elif op.op in _FORMULAS:
        values = _FORMULAS[op.op](left, _right(memory, op))
    else:
        raise UnsupportedError(f"{op.op.name} has no BF16 form")
    if op.relu:
        values = bf16.relu(values)
    memory.store(op.result, bf16.encode(values))


def _right(memory: LocalMemory, op: Arith) -> Float32:
    if op.right is None:
        raise UnsupportedError(f"{op.op.name} needs a second operand")
    if isinstance(op.right, Const):
        return bf16.decode(np.uint16(op.right.value & 0xFFFF))
    return bf16.decode(memory.tensor(op.right))


def _result(memory: LocalMemory, op: Arith) -> Float32:
    return bf16.decode(memory.tensor(op.result))


def _subtract(a: Float32, b: Float32) -> Float32:
    return bf16.add(a, -b)


def _larger(a: Float32, b: Float32) -> Float32:
    return np.where(_broken(a) | _broken(b), np.float32(np.nan), np.where(a > b, a, b))


def _smaller(a: Float32, b: Float32) -> Float32:
    return np.where(_broken(a) | _broken(b), np.float32(np.nan), np.where(a < b, a, b))


def _broken(values: Float32) -> Array:
    """Infinities and NaN: an overflow that no comparison mends (measured)."""
    return ~np.isfinite(values)


def _greater_equal(a: Float32, b: Float32) -> Float32:
    return (a >= b).astype(np.float32)


_FORMULAS: dict[ArithOp, Callable[[Float32, Float32], Float32]] = {
    ArithOp.MUL: bf16.multiply,
    ArithOp.ADD: bf16.add,
    ArithOp.SUB: _subtract,
    ArithOp.MAX: _larger,
    ArithOp.MIN: _smaller,
    ArithOp.GE: _greater_equal,
}


def pool(memory: LocalMemory, op: Pool) -> None:
    """Execute a pooling on BF16 tensors. Averages add kernel position by position."""
    average = op.op is PoolOp.AVG
    fill = fill_pattern(op.window.fill) if average else op.window.fill
    x = bf16.decode(expand(memory, op.input, op.window, np.dtype(np.uint16), fill))
    check_output(op.window, x, op.result, whole=False)
    _, _, oh, ow = op.result.shape
    views = taps(op.window, x, oh, ow)
    if average:
        factor = bf16.decode(np.uint16(op.multiplier & 0xFFFF))
        values: Float32 = np.zeros(op.result.shape, np.float32)
        for view in views:
            values = bf16.add(values, bf16.multiply(view, factor))
    else:
        # no fill value takes part unless it lies in the window
        values = reduce(_larger if op.op is PoolOp.MAX else _smaller, views)
    memory.store(op.result, bf16.encode(values))


def fill_pattern(fill: int) -> int:
    """The BF16 pattern that padding has in convolutions and averages: the simulator takes
    the field as an integer number (FACTS_TPU 3.5)."""
    return int(bf16.encode(np.array([fill], np.float32))[0])
