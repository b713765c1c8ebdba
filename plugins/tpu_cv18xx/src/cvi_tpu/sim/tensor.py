"""Tensor arithmetic, table lookup and channel sums on integers (FACTS_TPU 3.4, 3.8)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from cvi.errors import UnsupportedError
from cvi.ir.types import Array
from cvi_tpu.isa.instructions import Arith, ArithOp, Const, Lut, Mdsum
from cvi_tpu.isa.operands import Local
from cvi_tpu.sim.integer import requantize, saturate, shift_right
from cvi_tpu.sim.memory import LocalMemory, element


def arith(memory: LocalMemory, op: Arith) -> None:
    """Execute tensor arithmetic with 8-bit or 16-bit integers."""
    if op.op is ArithOp.COPY:
        memory.store(op.result, memory.integers(op.left).copy())
        return
    left = memory.integers(op.left)
    values = _FORMULAS[op.op](memory, op, left, _right(memory, op))
    result = replace(op.result, plane=0) if op.narrow else op.result
    bits = 16 if result.plane else 8
    memory.store(result, saturate(values, result.signed, bits, relu=op.relu))


def _right(memory: LocalMemory, op: Arith) -> Array:
    right = op.right
    if right is None:
        raise UnsupportedError(f"{op.op.name} needs a second operand")
    if isinstance(right, Const):
        return np.asarray(right.value, np.int64)
    return memory.integers(right)


def _mul(memory: LocalMemory, op: Arith, a: Array, b: Array) -> Array:
    if op.multiplier is not None:
        return requantize(_wrapped(np.multiply(a, b, dtype=np.int64)), op.multiplier, op.shift)
    return _shifted(np.multiply(a, b, dtype=np.int64), op)


def _mac(memory: LocalMemory, op: Arith, a: Array, b: Array) -> Array:
    low = op.result
    if not low.plane:
        raise UnsupportedError("MAC reads its result as 16 bit and needs its plane distance")
    total = memory.integers(low).astype(np.int64) << op.left_shift
    total += np.multiply(a, b, dtype=np.int64)
    # 32 bits, shifted as a signed or unsigned number and then saturated as a signed one
    wrapped = _wrapped(total)
    wide = wrapped if low.signed else wrapped.view(np.uint32)
    return _wrapped(_shifted(wide.astype(np.int64), op))


def _add(memory: LocalMemory, op: Arith, a: Array, b: Array) -> Array:
    return _shifted(np.add(a, b, dtype=np.int64), op)


def _sub(memory: LocalMemory, op: Arith, a: Array, b: Array) -> Array:
    return _shifted(np.subtract(a, b, dtype=np.int64), op)


def _shifted(values: Array, op: Arith) -> Array:
    return shift_right(values, op.shift, rounding=op.rounding)


def _wrapped(values: Array) -> Array:
    """The low 32 bits as int32."""
    return values.astype(np.int32)


def _simple(function: Callable[[Array, Array], Array]) -> Callable[..., Array]:
    def run(memory: LocalMemory, op: Arith, a: Array, b: Array) -> Array:
        return function(a.astype(np.int32), b.astype(np.int32))

    return run


def _shift(a: Array, bits: Array) -> Array:
    """a << bits wrapped to 16 bits, or a >> -bits rounded down."""
    left = (a << np.maximum(bits, 0)).astype(np.int16).astype(np.int32)
    return np.where(bits >= 0, left, a >> np.maximum(-bits, 0))


def _greater_equal(a: Array, b: Array) -> Array:
    return (a >= b).astype(np.int32)


_FORMULAS: dict[ArithOp, Callable[[LocalMemory, Arith, Array, Array], Array]] = {
    ArithOp.MUL: _mul,
    ArithOp.MAC: _mac,
    ArithOp.ADD: _add,
    ArithOp.SUB: _sub,
    ArithOp.MAX: _simple(np.maximum),
    ArithOp.MIN: _simple(np.minimum),
    ArithOp.SHIFT: _simple(_shift),
    ArithOp.AND: _simple(np.bitwise_and),
    ArithOp.OR: _simple(np.bitwise_or),
    ArithOp.XOR: _simple(np.bitwise_xor),
    ArithOp.GE: _simple(_greater_equal),
}


def lut(memory: LocalMemory, op: Lut) -> None:
    """Execute a table lookup: each lane uses the table in its own memory."""
    dtype = element(False, op.input.bf16)
    size = 256 * dtype.itemsize
    index = memory.tensor(_raw(op.input))
    index = (index & 0xFF) if op.input.bf16 else index
    span = memory.read(op.table, (1, memory.lanes, 1, size), (0, 0, 0, 1), element(False))
    tables = np.ascontiguousarray(span).view(dtype).reshape(memory.lanes, 256)
    if (tables == tables[0]).all():
        values = tables[0][index]
    else:
        lane = op.input.address // memory.lane_bytes + np.arange(index.shape[1])
        values = tables[(lane % memory.lanes)[:, None, None], index]
    memory.store(_raw(op.result), values)


def _raw(tensor: Local) -> Local:
    """The tensor as unsigned elements."""
    return Local(tensor.address, tensor.shape, tensor.strides, False, tensor.bf16, tensor.plane)


def mdsum(memory: LocalMemory, op: Mdsum) -> None:
    """Execute a per-channel sum over n, h and w."""
    if op.result.plane:
        raise UnsupportedError("the place of a 16-bit channel sum's planes is not known")
    total = memory.integers(op.input).sum(axis=(0, 2, 3), dtype=np.int64)
    values = saturate(shift_right(total, op.shift), op.result.signed)
    memory.store(op.result, values.reshape(1, -1, 1, 1))
