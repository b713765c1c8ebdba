"""Quantised functions of one tensor, and the casts between fp32 and int8."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cvi.ir import Array, DType, Op, TensorType
from cvi.ops.check import Types, floats, operands, require
from cvi_tpu.quantized.ops.base import Int8Op, check_rate, in_range, int8s
from cvi_tpu.quantized.requantise import requantise, to_int8

BYTES = np.arange(256, dtype=np.uint8).view(np.int8)
"""The int8 value of every byte 0..255."""


def _lookup(table: Array, x: Array) -> Array:
    return np.asarray(table[x.view(np.uint8)])


@dataclass(frozen=True, kw_only=True)
class Int8Requant(Int8Op):
    """Change of scale: sat8(relu(QDM(x * weight, multiplier, shift))), weight 1..127."""

    weight: int
    multiplier: int
    shift: int
    relu: bool = False

    def infer(self, inputs: Types) -> TensorType:
        (x,) = operands(self, inputs, 1)
        int8s(self, inputs)
        in_range(self, "weight", self.weight, 1, 127)
        check_rate(self, self.multiplier, self.shift)
        return self.result(x.shape)

    def evaluate(self, *inputs: Array | None) -> Array:
        (x,) = inputs
        assert x is not None
        acc = BYTES.astype(np.int32) * self.weight
        return _lookup(requantise(acc, self.multiplier, self.shift, relu=self.relu), x)


@dataclass(frozen=True, kw_only=True)
class Int8Clip(Int8Op):
    """x limited to the integers [minimum, maximum]; the scale stays."""

    minimum: int
    maximum: int

    def infer(self, inputs: Types) -> TensorType:
        (x,) = operands(self, inputs, 1)
        int8s(self, inputs)
        in_range(self, "maximum", self.maximum, -128, 127)
        in_range(self, "minimum", self.minimum, -128, self.maximum)
        return self.result(x.shape)

    def evaluate(self, *inputs: Array | None) -> Array:
        (x,) = inputs
        assert x is not None
        return np.clip(x, np.int8(self.minimum), np.int8(self.maximum))


@dataclass(frozen=True, kw_only=True)
class Int8Lut(Int8Op):
    """table[byte]: inputs x int8, table int8[256] indexed by the unsigned byte of x."""

    def infer(self, inputs: Types) -> TensorType:
        x, table = operands(self, inputs, 2)
        int8s(self, inputs)
        require(self, table.shape == (256,), f"the table must be int8[256] but is {table}")
        return self.result(x.shape)

    def evaluate(self, *inputs: Array | None) -> Array:
        x, table = inputs
        assert x is not None and table is not None
        return _lookup(table, x)


@dataclass(frozen=True, kw_only=True)
class Quantize(Op):
    """fp32 to int8 on the CPU: round half away from zero of x * scale, saturated.

    `scale` is steps per real unit, applied in fp32 (FACTS_CVIMODEL 6, function quant).
    """

    scale: float

    def infer(self, inputs: Types) -> TensorType:
        (x,) = operands(self, inputs, 1)
        floats(self, inputs)
        require(self, self.scale > 0, f"scale must be positive but is {self.scale}")
        return TensorType(x.shape, DType.INT8, 1 / self.scale)

    def evaluate(self, *inputs: Array | None) -> Array:
        (x,) = inputs
        assert x is not None
        with np.errstate(over="ignore"):
            return to_int8(np.asarray(x * np.float32(self.scale)))


@dataclass(frozen=True, kw_only=True)
class Dequantize(Op):
    """int8 to fp32 on the CPU: x * scale in fp32 (FACTS_CVIMODEL 6, function quant)."""

    scale: float

    def infer(self, inputs: Types) -> TensorType:
        (x,) = operands(self, inputs, 1)
        int8s(self, inputs)
        require(self, self.scale > 0, f"scale must be positive but is {self.scale}")
        return TensorType(x.shape)

    def evaluate(self, *inputs: Array | None) -> Array:
        (x,) = inputs
        assert x is not None
        return np.asarray(x * np.float32(self.scale))
