"""Convolutions and matrix products in BF16: one product after the other is added, each
sum rounded toward zero, so the order is part of the result (FACTS_TPU 3.3, 3.5, 3.7)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from math import prod

import numpy as np

from cvi.errors import UnsupportedError
from cvi.ir.types import Array
from cvi_tpu.isa.instructions import Const, Conv, Depthwise, MatMul, Window
from cvi_tpu.isa.operands import Local, align, ceil_div
from cvi_tpu.sim import bf16
from cvi_tpu.sim.bf16 import Float32, Float64
from cvi_tpu.sim.bf16_sum import BLOCK, Sizes, Sum
from cvi_tpu.sim.bf16_tensor import fill_pattern
from cvi_tpu.sim.memory import MOST_ELEMENTS, LocalMemory, check_size, check_work, element
from cvi_tpu.sim.window import check_output, expand, taps

_PATTERN = element(False, True)
_SIZE = 2
_MOST_WORK = 1 << 32
"""Multiplications of one instruction: each is a step of its own here."""


def conv(memory: LocalMemory, op: Conv) -> None:
    """Execute a convolution: kernel rows, kernel columns, then input channels."""
    check_work(op.result.shape, prod(op.window.kernel) * op.input.shape[1], _MOST_WORK)
    x = _expanded(memory, op.input, op.window, op.result)
    weights = _conv_weights(memory, op)
    acc = _start(memory, op.result, op.partial, op.partial_plane)
    _, count, oh, ow = op.result.shape
    views = [tap.swapaxes(0, 1)[:, :, None] for tap in taps(op.window, x, oh, ow)]
    seen = Sizes.of(x, (0, 2, 3))
    step = max(1, BLOCK // (acc.size // count))
    for first in range(0, count, step):
        part = slice(first, first + step)
        acc[:, part] = _sums(views, weights[part], acc[:, part], seen)
    if op.partial & 2:
        _store_fp32(memory, op.result, op.partial_plane, acc)
        return
    _finish(memory, op, acc)


def _sums(views: Sequence[Float64], weights: Float64, start: Float32, seen: Sizes) -> Float32:
    """Sums of some output channels. views: by kernel position (ic, n, 1, height, width); seen:
    the sizes of every input channel."""
    total = Sum(start)
    factors = np.ascontiguousarray(np.moveaxis(weights, 0, 2))[:, :, None, :, None, None]
    pairs = (zip(tap, row, strict=True) for tap, row in zip(views, factors, strict=True))
    total.add(chain.from_iterable(pairs), Sizes.of(weights, (0,)).times(seen))
    return total.total


def _expanded(memory: LocalMemory, tensor: Local, window: Window, result: Local) -> Float64:
    patterns = expand(memory, tensor, window, np.dtype(np.uint16), fill_pattern(window.fill))
    check_output(window, patterns, result)
    return bf16.decode(patterns).astype(np.float64)


def _conv_weights(memory: LocalMemory, op: Conv) -> Float64:
    """The weights (oc, kh * kw, ic)."""
    oc, ic = op.result.shape[1], op.input.shape[1]
    count = op.window.kernel[0] * op.window.kernel[1]
    if isinstance(op.weight, Const):
        check_size((oc, count, ic), MOST_ELEMENTS // 2)
        return np.full((oc, count, ic), bf16.decode(np.uint16(op.weight.value)), np.float64)
    channel = count * ic * _SIZE
    strides = (0, channel, ic * _SIZE, _SIZE)
    stored = memory.read(op.weight, (1, oc, count, ic), strides, _PATTERN)[0]
    return bf16.decode(stored).astype(np.float64)


def depthwise(memory: LocalMemory, op: Depthwise) -> None:
    """Execute a depthwise convolution."""
    if op.partial not in (0, 2):
        raise UnsupportedError("depthwise convolutions do not read partial sums")
    c, (kh, kw) = op.result.shape[1], op.window.kernel
    x = _expanded(memory, op.input, op.window, op.result)
    if isinstance(op.weight, Const):
        weights = bf16.decode(np.full((c, kh * kw), op.weight.value, np.uint16))
    else:
        strides = (0, align(kh * kw * _SIZE, memory.unit), kw * _SIZE, _SIZE)
        stored = memory.read(op.weight, (1, c, kh, kw), strides, _PATTERN)
        weights = bf16.decode(stored).reshape(c, kh * kw)
    acc = Sum(np.zeros(op.result.shape, np.float32))
    _, _, oh, ow = op.result.shape
    factors = weights.T.astype(np.float64)[:, None, :, None, None]
    sizes = Sizes.of(weights, (0,)).times(Sizes.of(x, (0, 1, 2, 3)))
    acc.add(zip(taps(op.window, x, oh, ow), factors, strict=True), sizes)
    _finish(memory, op, acc.total)


def _finish(memory: LocalMemory, op: Conv | Depthwise, acc: Float32) -> None:
    """Bias, relu, and the result as BF16; depthwise may keep fp32."""
    quant, c = op.quant, op.result.shape[1]
    if quant.bias:
        group = _SIZE * ceil_div(c, memory.lanes)
        bias = Local(quant.records, (1, c, 1, 1), (0, _SIZE, _SIZE, _SIZE), bf16=True)
        acc = bf16.add(acc, _read_fp32(memory, bias, group))
    if quant.relu:
        acc = bf16.relu(acc)
    if op.partial & 2:
        _store_fp32(memory, op.result, op.partial_plane, acc)
        return
    memory.store(op.result, bf16.encode(acc))


def matmul(memory: LocalMemory, op: MatMul) -> None:
    """Execute a matrix product: column by column of the left pieces, all pieces of one
    column before the next."""
    result = memory.as_tensor(op.result)
    check_work(result.shape, op.left.columns, _MOST_WORK)
    left = bf16.decode(memory.tensor(memory.as_tensor(op.left))).reshape(op.left.rows, -1)
    start = _start(memory, result, op.partial, op.partial_plane)
    flat = start.reshape(op.result.rows, -1)
    order = list(_depth_order(op))
    columns = np.ascontiguousarray(left.T[order], np.float64)
    rows = _right(memory, op, flat.shape[1])[order].astype(np.float64)
    total = Sum(flat)
    sizes = Sizes.of(columns, (1,)).times(Sizes.of(rows, (1,)))
    total.add(zip(columns[:, :, None], rows, strict=True), sizes)
    acc: Array = total.total.reshape(result.shape)
    if op.partial & 2:
        _store_fp32(memory, result, op.partial_plane, acc)
        return
    if op.bias is not None:
        acc = bf16.add(acc, _matmul_bias(memory, op, op.bias))
    memory.store(result, bf16.encode(bf16.relu(acc) if op.relu else acc))


def _right(memory: LocalMemory, op: MatMul, width: int) -> Float32:
    if isinstance(op.right, Const):
        check_size((op.left.columns, width), MOST_ELEMENTS // 2)
        return bf16.decode(np.full((op.left.columns, width), op.right.value, np.uint16))
    return bf16.decode(memory.tensor(memory.as_tensor(op.right))).reshape(op.right.rows, -1)


def _depth_order(op: MatMul) -> Iterator[int]:
    for column in range(op.left.w):
        yield from range(column, op.left.columns, op.left.w)


def _matmul_bias(memory: LocalMemory, op: MatMul, address: int) -> Float32:
    c, w = op.result.c, op.result.w
    group = align(w * _SIZE, memory.unit)
    row = group * ceil_div(address // memory.lane_bytes + c, memory.lanes)
    tensor = Local(address, (1, c, 1, w), (row, group, w * _SIZE, _SIZE), bf16=True)
    return _read_fp32(memory, tensor, row)


def _start(memory: LocalMemory, result: Local, partial: int, plane: int) -> Float32:
    """The accumulator: stored partial sums, or zeros."""
    if partial & 1:
        return _read_fp32(memory, result, plane)
    return np.zeros(result.shape, np.float32)


def _read_fp32(memory: LocalMemory, tensor: Local, plane: int) -> Float32:
    """fp32 values whose high halves are `tensor`, the low halves `plane` bytes behind."""
    high = memory.tensor(tensor)
    low = memory.read(tensor.address + plane, tensor.shape, tensor.strides, _PATTERN)
    return bf16.join(high, low)


def _store_fp32(memory: LocalMemory, tensor: Local, plane: int, values: Array) -> None:
    high, low = bf16.split(values)
    memory.write(tensor.address, tensor.strides, high)
    memory.write(tensor.address + plane, tensor.strides, low)
