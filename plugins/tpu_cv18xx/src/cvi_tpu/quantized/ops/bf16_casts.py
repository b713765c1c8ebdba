"""Casts of the TPU between BF16 and the other element types (FACTS_TPU 4.3, 7.5)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cvi.ir import Array, DType, Op, TensorType
from cvi.ops.check import Types, floats, operands, require
from cvi_tpu.quantized import bf16
from cvi_tpu.quantized.ops.base import Int8Op, in_range, int8s
from cvi_tpu.quantized.ops.bf16_base import Bf16Op, bf16s


@dataclass(frozen=True, kw_only=True)
class Bf16FromInt8(Bf16Op):
    """int8 to BF16: the integer less `zero`, which is exact, times the BF16 number `scale`,
    rounded."""

    scale: float
    zero: int = 0

    def infer(self, inputs: Types) -> TensorType:
        (x,) = operands(self, inputs, 1)
        int8s(self, inputs)
        require(self, self.scale > 0, f"scale must be positive but is {self.scale}")
        in_range(self, "zero", self.zero, -128, 127)
        return self.result(x.shape)

    def evaluate(self, *inputs: Array | None) -> Array:
        (x,) = inputs
        assert x is not None
        numbers = np.arange(-128 - self.zero, 128 - self.zero).astype(np.float32)
        table = bf16.encode(bf16.multiply(numbers, np.float32(bf16.nearest(self.scale))))
        return np.asarray(table[x.astype(np.int16) + 128])


@dataclass(frozen=True, kw_only=True)
class Int8FromBf16(Int8Op):
    """BF16 to int8: times the BF16 number `scale` (steps per unit), rounded to BF16, plus
    `out_zero`, rounded to BF16, then to the nearest integer, ties to even, and saturated."""

    scale: float

    def infer(self, inputs: Types) -> TensorType:
        (x,) = operands(self, inputs, 1)
        bf16s(self, inputs)
        require(self, self.scale > 0, f"scale must be positive but is {self.scale}")
        in_range(self, "out_zero", self.out_zero, -128, 127)
        return self.result(x.shape)

    def evaluate(self, *inputs: Array | None) -> Array:
        (x,) = inputs
        assert x is not None
        steps = multiplied(x, self.scale)
        if self.out_zero:
            steps = bf16.encode(bf16.add(bf16.decode(steps), np.float32(self.out_zero)))
        return steps_of(steps)


def multiplied(patterns: Array, factor: float) -> Array:
    """Patterns of BF16 numbers times the BF16 number nearest to a factor."""
    return bf16.encode(bf16.multiply(bf16.decode(patterns), np.float32(bf16.nearest(factor))))


def steps_of(patterns: Array) -> Array:
    """Finite BF16 numbers as the DMA engine makes them int8 (FACTS_TPU 4.3): to nearest
    even, saturated. Numbers from 2^64 on become 0 as in the vendor's
    simulator of the CV183x; its others differ there."""
    values = bf16.decode(patterns)
    bounded = np.clip(np.rint(values), -128, 127)
    return np.where(np.abs(values) >= 2.0**64, 0, bounded).astype(np.int8)


@dataclass(frozen=True, kw_only=True)
class Bf16FromFp32(Bf16Op):
    """fp32 to BF16 on the TPU: the upper half of every number, copied as a BF16 number."""

    def infer(self, inputs: Types) -> TensorType:
        (x,) = operands(self, inputs, 1)
        floats(self, inputs)
        return self.result(x.shape)

    def evaluate(self, *inputs: Array | None) -> Array:
        (x,) = inputs
        assert x is not None
        return bf16.canonical(bf16.truncated(x))


@dataclass(frozen=True, kw_only=True)
class Fp32FromBf16(Op):
    """BF16 to fp32 on the TPU, which is exact: a lower half of zeros."""

    def infer(self, inputs: Types) -> TensorType:
        (x,) = operands(self, inputs, 1)
        bf16s(self, inputs)
        return TensorType(x.shape, DType.FP32)

    def evaluate(self, *inputs: Array | None) -> Array:
        (x,) = inputs
        assert x is not None
        return bf16.decode(bf16.canonical(x))
