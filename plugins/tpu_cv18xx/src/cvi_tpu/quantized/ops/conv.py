"""The quantised convolution."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cvi.ir import Array, DType, Op, TensorType
from cvi.ops.check import Types, not_negative, operands, positive, rank, require
from cvi.ops.windows import output_size
from cvi_tpu.quantized.integer_conv import convolve_int8, expand
from cvi_tpu.quantized.ops.base import Int8Op, Pads, Pair, in_range, int8s
from cvi_tpu.quantized.requantise import requantise_channels, wrap32


@dataclass(frozen=True, kw_only=True)
class Int8Conv2d(Int8Op):
    """Convolution with per-channel requantisation; also depthwise and transposed.

    inputs: x int8[n,ic,h,w], weight int8[oc,ic/group,kh,kw], bias int32[oc] or "",
    multiplier uint32[oc] (below 2^31), shift uint8[oc] (0..31).
    result = sat8(relu(QDM(sum + bias, m, s))), sum in int32 with wrap-around.
    insert: rows, columns of zeros between input pixels (a transposed convolution with
    its filter turned round); pads (top, left, bottom, right) filled with `fill`, as are
    the inserted rows and columns.
    """

    stride: Pair = (1, 1)
    pads: Pads = (0, 0, 0, 0)
    dilation: Pair = (1, 1)
    insert: Pair = (0, 0)
    group: int = 1
    fill: int = 0
    relu: bool = False

    def infer(self, inputs: Types) -> TensorType:
        require(self, len(inputs) == 5, f"takes 5 operands but has {len(inputs)}")
        x, weight = operands(self, inputs[:2], 2)
        int8s(self, (x, weight))
        n, ic, h, w = rank(self, x, 4)
        oc, icg, kh, kw = rank(self, weight, 4)
        positive(self, "group", (self.group,))
        fits = ic == icg * self.group and oc % self.group == 0
        require(self, fits, f"weight {weight} with {self.group} groups does not fit {x}")
        not_negative(self, "insert", self.insert)
        in_range(self, "fill", self.fill, -128, 127)
        for label, operand, kind in zip(_PARAMETERS, inputs[2:], _KINDS, strict=True):
            _check_parameter(self, label, operand, kind, oc)
        expanded = tuple(
            (size - 1) * (i + 1) + 1 for size, i in zip((h, w), self.insert, strict=True)
        )
        size = (expanded[0], expanded[1])
        out = output_size(self, size, (kh, kw), self.stride, self.pads, self.dilation)
        return self.result((n, oc, *out))

    def evaluate(self, *inputs: Array | None) -> Array:
        x, weight, bias, multiplier, shift = inputs
        assert x is not None and weight is not None
        assert multiplier is not None and shift is not None
        seen = expand(x, self.insert, self.pads, self.fill)
        acc = convolve_int8(seen, weight, self.stride, self.dilation, self.group)
        if bias is not None:
            acc += bias.astype(np.int64).reshape(-1, 1, 1)
        return requantise_channels(wrap32(acc), multiplier, shift, relu=self.relu)


_PARAMETERS = ("bias", "multiplier", "shift")
_KINDS = (DType.INT32, DType.UINT32, DType.UINT8)


def _check_parameter(op: Op, label: str, t: TensorType | None, kind: DType, channels: int) -> None:
    if t is None:
        require(op, label == "bias", f"{label} is missing")
        return
    fits = t.dtype is kind and t.shape == (channels,)
    require(op, fits, f"{label} must be {kind.value}[{channels}] but is {t}")
