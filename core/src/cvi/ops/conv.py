"""Convolutions and matrix products."""

from __future__ import annotations

from dataclasses import dataclass

from cvi.ir import Op

Pair = tuple[int, int]
Pads = tuple[int, int, int, int]


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


@dataclass(frozen=True, kw_only=True)
class FullyConnected(Op):
    """x[..., K] times weight[N, K] transposed, plus bias[N] or "": result [..., N]."""

    relu: bool = False
    relu_max: float | None = None


@dataclass(frozen=True, kw_only=True)
class MatMul(Op):
    """Product of two activations, numpy.matmul semantics."""

    relu: bool = False
