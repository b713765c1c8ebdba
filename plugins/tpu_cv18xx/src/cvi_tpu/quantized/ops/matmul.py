"""The quantised product of two computed matrices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cvi.ir import Array, TensorType
from cvi.ops.check import Types, broadcast, operands, require
from cvi_tpu.quantized.ops.base import Int8Op, check_rate, int8s
from cvi_tpu.quantized.requantise import requantise, wrap32

_EXACT_IN_FP32 = 1 << 10
"""So many products of two int8 numbers sum up to at most 2^24, which fp32 holds exactly."""


@dataclass(frozen=True, kw_only=True)
class Int8MatMul(Int8Op):
    """sat8(relu(QDM(a @ b, multiplier, shift))), the sum in int32 with wrap-around.

    inputs: a int8[..., M, K] and b int8[..., K, N]; the leading dims broadcast as in
    numpy.matmul, and the ranks may differ.
    """

    multiplier: int
    shift: int
    relu: bool = False

    def infer(self, inputs: Types) -> TensorType:
        a, b = operands(self, inputs, 2)
        int8s(self, inputs)
        check_rate(self, self.multiplier, self.shift)
        fits = min(len(a.shape), len(b.shape)) >= 2 and a.shape[-1] == b.shape[-2]
        require(self, fits, f"{a} and {b} do not fit")
        lead = broadcast(self, a.shape[:-2], b.shape[:-2])
        return self.result((*lead, a.shape[-2], b.shape[-1]))

    def evaluate(self, *inputs: Array | None) -> Array:
        a, b = inputs
        assert a is not None and b is not None
        kind = np.float32 if a.shape[-1] <= _EXACT_IN_FP32 else np.float64
        sums = np.matmul(a.astype(kind), b.astype(kind)).astype(np.int64)
        return requantise(wrap32(sums), self.multiplier, self.shift, relu=self.relu)
