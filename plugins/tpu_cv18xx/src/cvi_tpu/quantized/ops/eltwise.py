"""Quantised arithmetic on two or more tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cvi.ir import Array, TensorType
from cvi.ops.check import Types, broadcast, operands, require
from cvi_tpu.quantized.ops.base import Int8Op, check_rate, in_range, int8s
from cvi_tpu.quantized.requantise import (
    MAX_INT16,
    partial_sum,
    requantise,
    round_shift,
    saturate,
)

_MANY = 1 << 16


@dataclass(frozen=True, kw_only=True)
class Int8Eltwise(Int8Op):
    """Base: int8 operands of one rank that broadcast as in numpy."""

    most: ClassVar[int] = 2

    def infer(self, inputs: Types) -> TensorType:
        types = operands(self, inputs, 2, self.most)
        int8s(self, inputs)
        ranks = {len(t.shape) for t in types}
        require(self, len(ranks) == 1, f"needs operands of one rank but has {sorted(ranks)}")
        return self.result(broadcast(self, *(t.shape for t in types)))


@dataclass(frozen=True, kw_only=True)
class Int8Add(Int8Eltwise):
    """sat8(relu(floor((sum(multipliers[i] * x[i]) + bias) / 2^shift + 1/2))).

    Two or more int8 operands of broadcastable shapes, all of one rank; multipliers are
    in [-128, 127], a negative one subtracts; shift in 0..15. The bias and the products before
    the last one must fit int16 (|bias| + 128 * sum of |multipliers| over these <= 32767).
    """

    multipliers: tuple[int, ...]
    shift: int
    relu: bool = False
    bias: int = 0

    most: ClassVar[int] = _MANY

    def infer(self, inputs: Types) -> TensorType:
        given = len(self.multipliers)
        require(self, given == len(inputs), f"has {given} multipliers, {len(inputs)} operands")
        for m in self.multipliers:
            in_range(self, "multiplier", m, -128, 127)
        in_range(self, "shift", self.shift, 0, 15)
        in_range(self, "partial sum", partial_sum(self.multipliers, self.bias), 0, MAX_INT16)
        return super().infer(inputs)

    def evaluate(self, *inputs: Array | None) -> Array:
        arrays = [x for x in inputs if x is not None]
        shape = np.broadcast_shapes(*(x.shape for x in arrays))
        total = np.full(shape, self.bias, np.int32)
        for x, m in zip(arrays, self.multipliers, strict=True):
            total += x.astype(np.int32) * m
        return saturate(round_shift(total, self.shift), relu=self.relu)


@dataclass(frozen=True, kw_only=True)
class Int8Mul(Int8Eltwise):
    """sat8(relu(QDM(a * b, multiplier, shift))); the operands broadcast, one rank."""

    multiplier: int
    shift: int
    relu: bool = False

    def infer(self, inputs: Types) -> TensorType:
        check_rate(self, self.multiplier, self.shift)
        return super().infer(inputs)

    def evaluate(self, *inputs: Array | None) -> Array:
        a, b = inputs
        assert a is not None and b is not None
        return requantise(
            np.multiply(a, b, dtype=np.int32), self.multiplier, self.shift, relu=self.relu
        )


@dataclass(frozen=True, kw_only=True)
class Int8Max(Int8Eltwise):
    """Maximum of two int8 operands of one scale; they broadcast."""

    def evaluate(self, *inputs: Array | None) -> Array:
        a, b = inputs
        assert a is not None and b is not None
        return np.maximum(a, b)


@dataclass(frozen=True, kw_only=True)
class Int8Min(Int8Eltwise):
    """Minimum of two int8 operands of one scale; they broadcast."""

    def evaluate(self, *inputs: Array | None) -> Array:
        a, b = inputs
        assert a is not None and b is not None
        return np.minimum(a, b)
