"""Convolution and depthwise convolution on 8-bit tensors (FACTS_TPU 3.5, 3.6)."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np

from cvi.errors import UnsupportedError
from cvi.ir.types import Array
from cvi_tpu.isa.instructions import Const, Conv, Depthwise, Window
from cvi_tpu.isa.operands import align
from cvi_tpu.sim.finish import finish
from cvi_tpu.sim.memory import LocalMemory, check_size, check_work, element
from cvi_tpu.sim.products import EXACT, product
from cvi_tpu.sim.window import check_output, expand, taps

_BLOCK = 1 << 16
"""Elements of a depthwise block: its fp32 temporaries stay in the cache."""


def conv(memory: LocalMemory, op: Conv) -> None:
    """Execute a convolution with 8-bit input, weights and result."""
    window = op.window
    check_work(op.result.shape, prod(window.kernel) * op.input.shape[1])
    x = expand(memory, op.input, window, np.dtype(np.float32), window.fill)
    check_output(window, x, op.result)
    acc = _accumulate(x, _conv_weights(memory, op), op)
    if op.partial & 1:
        acc += memory.words(op.result, op.partial_plane)
    if op.partial & 2:
        memory.store_words(op.result, op.partial_plane, acc)
        return
    unsigned = not (
        op.quant.per_channel or op.input.signed or op.weight_signed or op.quant.bias_signed
    )
    finish(memory, acc, op.quant, op.result, unsigned=unsigned)


def _conv_weights(memory: LocalMemory, op: Conv) -> Array:
    """The weights (oc, kh * kw * ic), input channel innermost, as fp32."""
    oc, ic = op.result.shape[1], op.input.shape[1]
    depth = op.window.kernel[0] * op.window.kernel[1] * ic
    check_size((oc, depth))
    if isinstance(op.weight, Const):
        return np.full((oc, depth), op.weight.value, np.float32)
    stored = memory.read(
        op.weight, (1, oc, 1, depth), (0, depth, depth, 1), element(op.weight_signed)
    )
    weights: Array = stored.reshape(oc, depth).astype(np.float32)
    return weights


def _accumulate(x: Array, weights: Array, op: Conv) -> Array:
    """Sums int32 (n, oc, oh, ow), modulo 2^32, of the expanded input x."""
    n, oc, oh, ow = op.result.shape
    largest = 128 if op.input.signed else 255
    acc: Array = np.empty((n, oc, oh * ow), np.int32)
    for i in range(n):
        columns = _columns(x[i : i + 1], op.window, oh, ow)
        acc[i] = product(weights, columns, weights=weights, largest=largest)
    return acc.reshape(n, oc, oh, ow)


def _columns(x: Array, window: Window, oh: int, ow: int) -> Array:
    """The inputs of every output position as columns: (kh * kw * ic, oh * ow)."""
    ic = x.shape[1]
    count = window.kernel[0] * window.kernel[1]
    if count == 1 and window.stride == (1, 1):
        return x.reshape(ic, oh * ow)
    check_size((count, ic, oh, ow))
    columns: Array = np.empty((count, ic, oh, ow), np.float32)
    for k, tap in enumerate(taps(window, x, oh, ow)):
        columns[k] = tap[0]
    return columns.reshape(count * ic, oh * ow)


def depthwise(memory: LocalMemory, op: Depthwise, *, undilated: bool = False) -> None:
    """Execute a depthwise convolution with 8-bit input, weights and result.

    undilated: do as the simulator of the CV182x, CV181x and CV180x does, which forgets the
    dilation where results are requantised per channel.
    """
    if op.partial:
        raise UnsupportedError("8-bit depthwise convolutions have no partial sums")
    window = op.window
    n, c, oh, ow = op.result.shape
    kernel = window.kernel[0] * window.kernel[1]
    exact = kernel * 255 * 255 <= EXACT
    x = expand(memory, op.input, window, np.dtype("f4" if exact else "f8"), window.fill)
    check_output(window, x, op.result)
    if undilated and op.quant.per_channel:
        window = replace(window, dilation=(1, 1))
    weights = _depthwise_weights(memory, op).astype(x.dtype)
    acc: Array = np.empty(op.result.shape, np.int32)
    step = max(1, _BLOCK // (n * oh * ow))
    for start in range(0, c, step):
        block = slice(start, start + step)
        acc[:, block] = _depthwise_block(x[:, block], weights[block], window, oh, ow)
    finish(memory, acc, op.quant, op.result)


def _depthwise_block(x: Array, weights: Array, window: Window, oh: int, ow: int) -> Array:
    n, c = x.shape[:2]
    total = np.zeros((n, c, oh, ow), x.dtype)
    term = np.empty_like(total)
    for k, tap in enumerate(taps(window, x, oh, ow)):
        np.multiply(tap, weights[:, k, None, None], out=term)
        total += term
    return total


def _depthwise_weights(memory: LocalMemory, op: Depthwise) -> Array:
    """The weights (c, kh * kw): each channel starts at a multiple of the unit."""
    c, (kh, kw) = op.result.shape[1], op.window.kernel
    if isinstance(op.weight, Const):
        return np.full((c, kh * kw), op.weight.value)
    stored = memory.read(
        op.weight,
        (1, c, kh, kw),
        (0, align(kh * kw, memory.unit), kw, 1),
        element(op.weight_signed),
    )
    return stored.reshape(c, kh * kw)
