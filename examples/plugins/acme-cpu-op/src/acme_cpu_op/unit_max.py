"""The op: what it means, in numpy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cvi.ir import Array, DType, Op, TensorType
from cvi.ops.check import Types, operands, require


def scaled(rows: Array, floor: float) -> Array:
    """Rows (along the last axis) divided by their greatest magnitude, at least `floor`; NaN
    has none."""
    least = np.float32(floor)
    return rows / np.fmax.reduce(np.abs(rows), axis=-1, keepdims=True, initial=least)


@dataclass(frozen=True, kw_only=True)
class AcmeUnitMax(Op):
    """Rows of an fp32 tensor scaled to a greatest magnitude of 1.

    floor: a positive number; rows of smaller values are divided by it instead.
    """

    floor: float = 1e-6

    def infer(self, inputs: Types) -> TensorType:
        (x,) = operands(self, inputs, 1)
        require(self, x.dtype is DType.FP32, f"scales fp32 tensors but reads {x}")
        require(self, len(x.shape) > 0, "needs an axis to scale along")
        require(self, self.floor > 0, f"the floor must be positive but is {self.floor}")
        return x

    def evaluate(self, *inputs: Array | None) -> Array:
        (x,) = inputs
        assert x is not None
        return scaled(x, self.floor)
