"""Convolutions and matrix products."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cvi.ir import Array, Op, TensorType
from cvi.ops.check import (
    Types,
    broadcast,
    broken,
    floats,
    not_negative,
    operands,
    positive,
    rank,
    require,
    with_bias,
)
from cvi.ops.clamp import check_clamp, clamp
from cvi.ops.windows import Pads, Pair, convolve, extent, output_size, pad2d, taps


def _add_bias(y: Array, bias: Array | None) -> Array:
    """y[n,c,h,w] plus one value per channel, in place."""
    if bias is not None:
        y += bias.reshape(-1, 1, 1)
    return y


def _three(inputs: tuple[Array | None, ...]) -> tuple[Array, Array, Array | None]:
    """x, weight and the optional bias."""
    x, weight = inputs[:2]
    assert x is not None and weight is not None
    return x, weight, inputs[2] if len(inputs) > 2 else None


def _check_bias(op: Op, bias: TensorType | None, channels: int) -> None:
    if bias is not None:
        require(op, bias.shape == (channels,), f"bias of {channels} channels is {bias}")


@dataclass(frozen=True, kw_only=True)
class Conv2d(Op):
    """2-D convolution: inputs x[n,ic,h,w], weight[oc,ic/group,kh,kw], bias[oc] or "".

    pads: (top, left, bottom, right), filled with pad_value. A depthwise convolution
    has group == ic == oc. relu clamps below at 0; relu_max (only with relu) above.
    """

    stride: Pair = (1, 1)
    pads: Pads = (0, 0, 0, 0)
    dilation: Pair = (1, 1)
    group: int = 1
    pad_value: float = 0.0
    relu: bool = False
    relu_max: float | None = None

    def infer(self, inputs: Types) -> TensorType:
        (x, weight), bias = with_bias(self, inputs, 2)
        floats(self, inputs)
        n, ic, h, w = rank(self, x, 4)
        oc, icg, kh, kw = rank(self, weight, 4)
        positive(self, "group", (self.group,))
        if ic != icg * self.group or oc % self.group:
            raise broken(self, f"weight {weight} with {self.group} groups does not fit {x}")
        _check_bias(self, bias, oc)
        check_clamp(self, self.relu, self.relu_max)
        size = output_size(self, (h, w), (kh, kw), self.stride, self.pads, self.dilation)
        return x.with_shape((n, oc, *size))

    def evaluate(self, *inputs: Array | None) -> Array:
        x, weight, bias = _three(inputs)
        padded = pad2d(x, self.pads, self.pad_value)
        y = convolve(padded, weight, self.stride, self.dilation, self.group)
        return clamp(_add_bias(y, bias), self.relu, self.relu_max)


@dataclass(frozen=True, kw_only=True)
class ConvTranspose2d(Op):
    """2-D transposed convolution: x[n,ic,h,w], weight[ic,oc/group,kh,kw], bias[oc] or "".

    Output height = (h-1)*stride - top - bottom + dilation*(kh-1) + 1 + output_padding.
    """

    stride: Pair = (1, 1)
    pads: Pads = (0, 0, 0, 0)
    dilation: Pair = (1, 1)
    output_padding: Pair = (0, 0)
    group: int = 1
    relu: bool = False
    relu_max: float | None = None

    def infer(self, inputs: Types) -> TensorType:
        (x, weight), bias = with_bias(self, inputs, 2)
        floats(self, inputs)
        n, ic, *size = rank(self, x, 4)
        wic, ocg, *kernel = rank(self, weight, 4)
        positive(self, "group", (self.group,))
        positive(self, "kernel", kernel)
        positive(self, "stride", self.stride)
        positive(self, "dilation", self.dilation)
        not_negative(self, "pads", self.pads)
        not_negative(self, "output_padding", self.output_padding)
        if ic != wic or ic % self.group:
            raise broken(self, f"weight {weight} with {self.group} groups does not fit {x}")
        _check_bias(self, bias, ocg * self.group)
        check_clamp(self, self.relu, self.relu_max)
        full = self._full_size((size[0], size[1]), (kernel[0], kernel[1]))
        out = tuple(full[i] - self.pads[i] - self.pads[i + 2] for i in (0, 1))
        positive(self, "the size of the result", out)
        return x.with_shape((n, ocg * self.group, *out))

    def _full_size(self, size: Pair, kernel: Pair) -> Pair:
        """Size of the result before the pads are cut off."""
        h, w = (
            (size[i] - 1) * self.stride[i]
            + extent(kernel[i], self.dilation[i])
            + self.output_padding[i]
            for i in (0, 1)
        )
        return h, w

    def evaluate(self, *inputs: Array | None) -> Array:
        x, weight, bias = _three(inputs)
        n, ic, h, w = x.shape
        _, ocg, kh, kw = weight.shape
        height, width = self._full_size((h, w), (kh, kw))
        full = np.zeros((n, self.group, ocg, height, width), x.dtype)
        pixels = x.reshape(n, self.group, ic // self.group, h * w)
        kernel = weight.reshape(self.group, ic // self.group, ocg, kh, kw)
        product = np.multiply if ic == self.group and ocg == 1 else np.matmul
        for ky, kx in taps((kh, kw)):
            part = product(kernel[..., ky, kx].swapaxes(1, 2), pixels)
            full[self._reached_by(ky, kx, h, w)] += part.reshape(n, self.group, ocg, h, w)
        top, left, bottom, right = self.pads
        y = full.reshape(n, -1, height, width)[:, :, top : height - bottom, left : width - right]
        return clamp(_add_bias(np.ascontiguousarray(y), bias), self.relu, self.relu_max)

    def _reached_by(self, ky: int, kx: int, h: int, w: int) -> tuple[Any, ...]:
        """Pixels of the full result that one tap of the kernel adds to."""
        rows, columns = (
            slice(tap * d, tap * d + (size - 1) * s + 1, s)
            for tap, d, s, size in zip((ky, kx), self.dilation, self.stride, (h, w), strict=True)
        )
        return ..., rows, columns


@dataclass(frozen=True, kw_only=True)
class FullyConnected(Op):
    """x[..., K] times weight[N, K] transposed, plus bias[N] or "": result [..., N]."""

    relu: bool = False
    relu_max: float | None = None

    def infer(self, inputs: Types) -> TensorType:
        (x, weight), bias = with_bias(self, inputs, 2)
        floats(self, inputs)
        n, k = rank(self, weight, 2)
        if not x.shape or x.shape[-1] != k:
            raise broken(self, f"weight {weight} does not fit {x}")
        _check_bias(self, bias, n)
        check_clamp(self, self.relu, self.relu_max)
        return x.with_shape((*x.shape[:-1], n))

    def evaluate(self, *inputs: Array | None) -> Array:
        x, weight, bias = _three(inputs)
        y = np.matmul(x.reshape(-1, x.shape[-1]), weight.T)
        if bias is not None:
            y += bias
        return clamp(y.reshape(*x.shape[:-1], weight.shape[0]), self.relu, self.relu_max)


@dataclass(frozen=True, kw_only=True)
class MatMul(Op):
    """Product of two activations, numpy.matmul semantics."""

    relu: bool = False

    def infer(self, inputs: Types) -> TensorType:
        a, b = operands(self, inputs, 2)
        floats(self, inputs)
        if not a.shape or not b.shape:
            raise broken(self, "cannot multiply a scalar")
        rows = a.shape if len(a.shape) > 1 else (1, *a.shape)
        columns = b.shape if len(b.shape) > 1 else (*b.shape, 1)
        if rows[-1] != columns[-2]:
            raise broken(self, f"{a} and {b} do not fit")
        batch = broadcast(self, rows[:-2], columns[:-2])
        tail = (*rows[-2:-1][: len(a.shape) - 1], *columns[-1:][: len(b.shape) - 1])
        return a.with_shape((*batch, *tail))

    def evaluate(self, *inputs: Array | None) -> Array:
        a, b = inputs
        assert a is not None and b is not None
        return clamp(np.asarray(np.matmul(a, b)), self.relu)
