"""Matrix multiplication on 8-bit matrices (FACTS_TPU 3.7)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cvi.ir.types import Array
from cvi_tpu.isa.instructions import Const, MatMul
from cvi_tpu.isa.operands import Local, Matrix, align, ceil_div
from cvi_tpu.sim.integer import requantize, saturate, shift_right
from cvi_tpu.sim.memory import LocalMemory, check_size, check_work
from cvi_tpu.sim.products import product


def matmul(memory: LocalMemory, op: MatMul) -> None:
    """Execute a matrix product with 8-bit operands."""
    result = memory.as_tensor(op.result)
    check_work(result.shape, op.left.columns)
    acc = _accumulate(memory, op).reshape(result.shape)
    if op.partial & 1:
        acc += memory.words(result, op.partial_plane)
    if op.partial & 2:
        memory.store_words(result, op.partial_plane, acc)
        return
    if op.bias is not None:
        acc += _bias(memory, op)
    if op.wide or op.add_result:
        # the high byte plane follows the M rows of the low one
        result = replace(result, plane=op.result.rows * op.result.strides[0])
    values = _scale(memory, op, acc, result)
    bits = 16 if op.wide else 8
    saturate(values, result.signed, bits, relu=op.relu)
    memory.store(result if op.wide else replace(result, plane=0), values)


def _scale(memory: LocalMemory, op: MatMul, acc: Array, result: Local) -> Array:
    if op.multiplier is not None:
        return requantize(acc, op.multiplier, op.shift)
    if op.add_result:
        addend = memory.integers(result).astype(np.int64) << op.left_shift
        acc = (acc + addend).astype(np.int32)
    return shift_right(acc.astype(np.int64), op.shift)


def _accumulate(memory: LocalMemory, op: MatMul) -> Array:
    """left @ right as int32 (rows, c * w), pad columns included."""
    depth, width = op.left.columns, op.result.c * op.result.w
    left = _matrix(memory, op.left)[:, :depth]
    if isinstance(op.right, Const):
        check_size((depth, width))
        right: Array = np.full((depth, width), op.right.value, np.float32)
    else:
        right = _matrix(memory, op.right)
    largest = 128 if op.left.signed else 255
    return product(left, right, weights=right.T, largest=largest)


def _matrix(memory: LocalMemory, matrix: Matrix) -> Array:
    """All stored columns of a matrix as fp32 (rows, c * w)."""
    tensor = memory.as_tensor(matrix)
    values: Array = memory.tensor(tensor).reshape(matrix.rows, -1).astype(np.float32)
    return values


def _bias(memory: LocalMemory, op: MatMul) -> Array:
    """The bias int32 (1, c, 1, w): 32 bits in four planes with a multiplier, else 16."""
    c, w = op.result.c, op.result.w
    group = align(w, memory.unit)
    assert op.bias is not None
    plane = group * ceil_div(op.bias // memory.lane_bytes + c, memory.lanes)
    tensor = Local(op.bias, (1, c, 1, w), (plane, group, w, 1), op.bias_signed, plane=plane)
    if op.multiplier is not None:
        return memory.words(tensor, plane)
    return memory.integers(tensor).astype(np.int32)
