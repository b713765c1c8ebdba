"""The float op: what a blend means."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cvi.ir import Array, DType, Op, TensorType
from cvi.ops.check import Types, broadcast, operands, require


@dataclass(frozen=True, kw_only=True)
class AcmeBlend(Op):
    """m * a + (1 - m) * b, where m is the mask limited to [0, 1].

    Inputs a, b, mask: fp32 tensors that broadcast as in numpy.
    """

    def infer(self, inputs: Types) -> TensorType:
        types = operands(self, inputs, 3)
        require(self, {t.dtype for t in types} == {DType.FP32}, "mixes fp32 tensors only")
        return TensorType(broadcast(self, *(t.shape for t in types)), DType.FP32)

    def evaluate(self, *inputs: Array | None) -> Array:
        a, b, mask = inputs
        assert a is not None and b is not None and mask is not None
        m = np.clip(mask, np.float32(0), np.float32(1))
        return np.asarray(m * a + (np.float32(1) - m) * b)
