"""Filters in BF16: weights rounded to nearest, biases in fp32 (FACTS_TOOLCHAIN 6.4)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil

import numpy as np

from cvi.ir import Array, DType
from cvi_tpu.chip import ChipSpec
from cvi_tpu.quantized.bf16 import decode, encode
from cvi_tpu.quantized.bf16_weights import RealBf16Filter
from cvi_tpu.quantized.mix_bf16 import quantise_rows
from cvi_tpu.quantized.ops import Bf16Conv2d, Bf16MinConstant
from cvi_tpu.quantized.rewriter import Chain, Operand
from cvi_tpu.quantized.rules.filters import Change, Window, convolve, means_of, place
from cvi_tpu.quantized.weights import check_finite, mean_loss

_ELEMENT = 2
_SHARE = 4  # weights and input of a pass take at most a quarter each of a lane


@dataclass(frozen=True)
class Bf16Kernel:
    """A filter in BF16; bias is fp32 or None. rows: what makes BF16 of int8 weights, the scale
    and the zero point of every output channel. source: what BF16 weights were made of."""

    weight: Array
    bias: Array | None
    relu: bool
    rows: tuple[Array, ...] = ()
    source: RealBf16Filter | None = None

    def spread(self, change: Change) -> Bf16Kernel:
        assert not self.rows, "an int8 weight of 0 stands for its zero point"
        source = self.source
        if source is not None:
            source = replace(source, weight=change(source.weight))
        return replace(self, weight=change(self.weight), source=source)

    def fills(self, value: float) -> bool:
        """The hardware takes the fill value of BF16 as an integer (FACTS_TPU 3.5): only 0."""
        return value == 0

    def apply(self, chain: Chain, window: Window) -> None:
        """Append the convolution, its sums in as few passes as the chip's memory allows."""
        to, name = chain.to, chain.layer.name
        _, channels, kh, kw = self.weight.shape
        reach = [(k - 1) * d + 1 for k, d in zip((kh, kw), window.dilation, strict=True)]
        bias = "" if self.bias is None else to.store(name, "bias", self.bias)
        labels = ("scale", "zero")[: len(self.rows)]
        rows = (to.store(name, *row) for row in zip(labels, self.rows, strict=True))
        weight = to.store(name, "weight", self.weight)
        if self.source is not None:
            to.filters[weight] = self.source
        conv = Bf16Conv2d(
            name="",
            inputs=("", weight, bias, *rows),
            stride=window.stride,
            pads=window.pads,
            dilation=window.dilation,
            insert=window.insert,
            group=window.group,
            relu=self.relu,
            step=step_of(channels, kh * kw, reach[0] * reach[1], to.spec),
        )
        chain.then("conv", conv)


def step_of(channels: int, taps: int, pixels: int, spec: ChipSpec) -> int:
    """Input channels of a pass, 0 when one pass takes all.

    The weights of one output channel per lane must fit, and the `pixels` of the input
    under one result.
    """
    room = spec.lane_bytes // _SHARE
    groups = room // (ceil(pixels * _ELEMENT / spec.eu_bytes) * spec.eu_bytes)
    most = min(room // (taps * _ELEMENT), groups * spec.lanes, spec.max_size)
    if channels <= most:
        return 0
    passes = ceil(channels / max(most // spec.lanes * spec.lanes, 1))
    even = ceil(channels / passes)
    return min(ceil(even / spec.lanes) * spec.lanes, max(most, 1))


def filtered(
    chain: Chain, x: Operand, window: Window, weight: Array, bias: Array | None,
    *, relu: bool, relu_max: float | None = None,
) -> None:  # fmt: skip
    """Append the convolution of x with the real weight[oc, ic/group, kh, kw] and bias[oc] and
    a clamp, in the precision of x.

    `chain` is at a tensor [n, ic, h, w] with the scale of x.
    """
    if x.dtype is DType.BF16:
        convolve_bf16(chain, window, weight, bias, relu=relu)
        clamp_bf16(chain, relu_max)
        return
    convolve(chain, x, window, weight, bias, relu=relu)
    chain.clamp(relu_max, chain.to.scale(chain.layer.name))


def convolve_bf16(
    chain: Chain, window: Window, weight: Array, bias: Array | None, *, relu: bool = False
) -> None:
    """Append the convolution of the chain's tensor [n, ic, h, w] with the real
    weight[oc, ic/group, kh, kw] and bias[oc].

    Where the means of the input are known, what rounding the weights adds to the results for
    these is taken out of the bias. The weights are int8 if the layer is to have those.
    """
    check_finite(chain.layer.name, weight, bias)
    stored, rows, used = _stored(weight, int8=chain.to.int8_weights)
    means = means_of(chain.to, chain.layer, weight.shape[1] * window.group)
    if means is not None:
        bias = np.zeros(len(weight)) if bias is None else bias
    source = None if rows else RealBf16Filter(weight=weight, bias=bias)
    if means is not None:
        assert bias is not None
        bias = bias + mean_loss(weight, decode(used), means)
    real = None if bias is None else bias.astype(np.float32)
    place(chain, window, Bf16Kernel(stored, real, relu, rows, source))


def _stored(weight: Array, *, int8: bool) -> tuple[Array, tuple[Array, ...], Array]:
    """The weights as they are stored, the rows of a `Bf16Kernel`, and the patterns that are
    multiplied with."""
    if not int8:
        patterns = encode(weight)
        return patterns, (), patterns
    found = quantise_rows(weight)
    return found.weight, (found.scale, found.zero), found.patterns


def clamp_bf16(chain: Chain, relu_max: float | None) -> None:
    """Append the upper bound of a fused clamp."""
    if relu_max is not None:
        chain.then("unclamped", Bf16MinConstant(name="", inputs=("",), value=relu_max))
