"""The BF16 convolution."""

from __future__ import annotations

from dataclasses import dataclass

from cvi.ir import Array, DType, TensorType
from cvi.ops.check import Types, not_negative, operands, positive, rank, require
from cvi.ops.windows import convolve, output_size
from cvi_tpu.quantized import bf16
from cvi_tpu.quantized.bf16_sums import convolution
from cvi_tpu.quantized.integer_conv import expand
from cvi_tpu.quantized.mix_bf16 import dequantise
from cvi_tpu.quantized.ops.base import Pads, Pair
from cvi_tpu.quantized.ops.bf16_base import Bf16Op, bf16s


@dataclass(frozen=True, kw_only=True)
class Bf16Conv2d(Bf16Op):
    """Convolution with fp32 sums; also depthwise and transposed.

    inputs: x bf16[n,ic,h,w], weight bf16[oc,ic/group,kh,kw], bias fp32[oc] or "".
    With two more, scale and zero bf16[oc], the weight is int8 and becomes BF16 before it is
    used: weight * scale and then + zero, each rounded to nearest even. Not for a depthwise one.
    The sum begins at 0 and takes passes of `step` input channels of a group (0: all in
    one), in each kernel rows, kernel columns, channels; then the bias is added. Every
    addition rounds toward zero; the result after relu is rounded to nearest even
    (FACTS_TPU 3.3, 3.5).
    insert: rows, columns of zeros between input pixels; pads (top, left, bottom, right)
    of zeros.
    """

    stride: Pair = (1, 1)
    pads: Pads = (0, 0, 0, 0)
    dilation: Pair = (1, 1)
    insert: Pair = (0, 0)
    group: int = 1
    relu: bool = False
    step: int = 0

    def infer(self, inputs: Types) -> TensorType:
        require(self, len(inputs) in (3, 5), f"takes 3 or 5 operands but has {len(inputs)}")
        x, weight = operands(self, inputs[:2], 2)
        bf16s(self, (x,) if self.is_mixed else (x, weight))
        n, ic, h, w = rank(self, x, 4)
        oc, icg, kh, kw = rank(self, weight, 4)
        positive(self, "group", (self.group,))
        fits = ic == icg * self.group and oc % self.group == 0
        require(self, fits, f"weight {weight} with {self.group} groups does not fit {x}")
        not_negative(self, "insert", self.insert)
        not_negative(self, "step", (self.step,))
        bias = inputs[2]
        known = bias is None or (bias.dtype is DType.FP32 and bias.shape == (oc,))
        require(self, known, f"bias must be fp32[{oc}] but is {bias}")
        if self.is_mixed:
            self._check_mixed(weight, inputs[3:])
        seen = ((h - 1) * (self.insert[0] + 1) + 1, (w - 1) * (self.insert[1] + 1) + 1)
        out = output_size(self, seen, (kh, kw), self.stride, self.pads, self.dilation)
        return self.result((n, oc, *out))

    @property
    def is_mixed(self) -> bool:
        """Whether the weights are int8."""
        return len(self.inputs) > 3

    def _check_mixed(self, weight: TensorType, rows: Types) -> None:
        types = operands(self, rows, 2)
        bf16s(self, types)
        require(self, weight.dtype is DType.INT8, f"the weight must be int8 but is {weight}")
        oc, icg = weight.shape[:2]
        found = [t.shape for t in types]
        require(self, found == [(oc,)] * 2, f"scale and zero must be [{oc}] but are {found}")
        require(
            self, icg > 1 or self.group == 1 or self.group < oc, "a depthwise weight cannot be int8"
        )

    def evaluate(self, *inputs: Array | None) -> Array:
        x, weight, bias = self._numbers(inputs)
        sums = convolution(x, weight, self.stride, self.dilation, self.group, self.step)
        if bias is not None:
            sums = bf16.add(sums, bias.reshape(-1, 1, 1))
        return bf16.encode(bf16.relu(sums) if self.relu else sums)

    def estimate(self, *inputs: Array | None) -> Array:
        x, weight, bias = self._numbers(inputs)
        sums = convolve(x, weight, self.stride, self.dilation, self.group)
        if bias is not None:
            sums += bias.reshape(-1, 1, 1)
        return bf16.encode(bf16.relu(sums) if self.relu else sums)

    def _numbers(self, inputs: tuple[Array | None, ...]) -> tuple[Array, Array, Array | None]:
        """The expanded input, the weight and the bias as fp32."""
        x, weight, bias, *rows = inputs
        assert x is not None and weight is not None
        if rows:
            scale, zero = (row for row in rows if row is not None)
            weight = dequantise(weight, scale, zero)
        seen = expand(bf16.decode(x), self.insert, self.pads, 0)
        return seen, bf16.decode(weight), bias
