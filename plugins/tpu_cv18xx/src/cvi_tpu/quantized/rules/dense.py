"""Fully connected layers and per-channel scaling: convolutions of single pixels."""

from __future__ import annotations

import math

import numpy as np

from cvi.ir import Array, Op, Shape
from cvi.ops import BatchNorm, FullyConnected, Scale
from cvi_tpu.quantized.registry import TPU, mixes, quantizes, requires
from cvi_tpu.quantized.rewriter import Chain, Rewriter
from cvi_tpu.quantized.rules.bf16_filters import filtered
from cvi_tpu.quantized.rules.conv import constants_of, filter_is_constant
from cvi_tpu.quantized.rules.filters import Window

requires(FullyConnected, Scale, BatchNorm, precision=TPU)(filter_is_constant)
mixes(FullyConnected)(filter_is_constant)


@quantizes(FullyConnected, precision=TPU)
def fully_connected(op: FullyConnected, to: Rewriter) -> None:
    """x[..., K] as [M, K, 1, 1], a convolution with weight [N, K, 1, 1], and back."""
    weight, bias = constants_of(op, to)
    dense(op, to, weight, bias, relu=op.relu, relu_max=op.relu_max)


def dense(
    op: Op, to: Rewriter, weight: Array, bias: Array | None, *, relu: bool, relu_max: float | None
) -> None:
    """A layer that multiplies its first operand's last dim with weight[N, K]."""
    n, k = weight.shape
    x = to.operand(op.inputs[0])
    chain = Chain(to, op, x)
    chain.reshape("rows", (math.prod(x.shape[:-1]), k, 1, 1))
    kernel = weight.reshape(n, k, 1, 1)
    filtered(chain, x, Window(), kernel, bias, relu=relu, relu_max=relu_max)
    chain.reshape("shape", op.type.shape)
    chain.close()


@quantizes(Scale, precision=TPU)
def scale(op: Scale, to: Rewriter) -> None:
    """A depthwise convolution of one pixel."""
    factors, bias = constants_of(op, to)
    _per_channel(op, to, factors, bias, relu=op.relu, relu_max=op.relu_max)


@quantizes(BatchNorm, precision=TPU)
def batch_norm(op: BatchNorm, to: Rewriter) -> None:
    """As a Scale: gamma / sqrt(var + eps) and beta - mean * that."""
    gamma, beta, mean, var = (
        to.source.constants[name].astype(np.float64) for name in op.inputs[1:]
    )
    factors = gamma / np.sqrt(var + op.eps)
    _per_channel(op, to, factors, beta - mean * factors, relu=False, relu_max=None)


def _per_channel(
    op: Op, to: Rewriter, factors: Array, bias: Array | None, *, relu: bool, relu_max: float | None
) -> None:
    x = to.operand(op.inputs[0])
    chain = Chain(to, op, x)
    chain.reshape("image", as_image(x.shape))
    window = Window(group=len(factors))
    kernel = factors.reshape(-1, 1, 1, 1)
    filtered(chain, x, window, kernel, bias, relu=relu, relu_max=relu_max)
    chain.reshape("shape", op.type.shape)
    chain.close()


def as_image(shape: Shape) -> Shape:
    """A shape with channels at axis 1 (if it has that many) as [n, c, h, w]."""
    if len(shape) < 2:
        return 1, 1, 1, math.prod(shape)
    n, c, *rest = shape
    if len(rest) < 3:
        h, w = (*rest, 1, 1)[:2]
        return n, c, h, w
    return n, c, rest[0], math.prod(rest[1:])
