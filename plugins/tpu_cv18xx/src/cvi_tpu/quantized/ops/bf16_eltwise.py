"""BF16 arithmetic on one or two tensors: one instruction, its result rounded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cvi.ir import Array, TensorType
from cvi.ops.check import Types, broadcast, operands, require
from cvi_tpu.quantized import bf16
from cvi_tpu.quantized.ops.bf16_base import Bf16Op, bf16s


@dataclass(frozen=True)
class Formula:
    """What an instruction makes of two fp32 numbers."""

    of: Callable[[Array, Array], Array]


@dataclass(frozen=True, kw_only=True)
class Bf16Eltwise(Bf16Op):
    """Base: two operands of one rank that broadcast as in numpy; `formula` gives fp32."""

    formula: ClassVar[Formula]

    def infer(self, inputs: Types) -> TensorType:
        types = operands(self, inputs, 2)
        bf16s(self, inputs)
        ranks = {len(t.shape) for t in types}
        require(self, len(ranks) == 1, f"needs operands of one rank but has {sorted(ranks)}")
        return self.result(broadcast(self, *(t.shape for t in types)))

    def evaluate(self, *inputs: Array | None) -> Array:
        a, b = inputs
        assert a is not None and b is not None
        return bf16.encode(self.formula.of(bf16.decode(a), bf16.decode(b)))


@dataclass(frozen=True, kw_only=True)
class _WithRelu(Bf16Eltwise):
    """Base: the result may be cut off below 0."""

    relu: bool = False

    def evaluate(self, *inputs: Array | None) -> Array:
        a, b = inputs
        assert a is not None and b is not None
        values = self.formula.of(bf16.decode(a), bf16.decode(b))
        return bf16.encode(bf16.relu(values) if self.relu else values)


@dataclass(frozen=True, kw_only=True)
class Bf16Add(_WithRelu):
    """a + b, rounded toward zero in fp32 and then to BF16."""

    formula = Formula(bf16.add)


@dataclass(frozen=True, kw_only=True)
class Bf16Sub(Bf16Eltwise):
    """a - b, rounded toward zero in fp32 and then to BF16."""

    formula = Formula(bf16.subtract)


@dataclass(frozen=True, kw_only=True)
class Bf16Mul(_WithRelu):
    """a * b."""

    formula = Formula(bf16.multiply)


def _larger(a: Array, b: Array) -> Array:
    return bf16.overflowing(np.maximum(a, b), a, b)


def _smaller(a: Array, b: Array) -> Array:
    return bf16.overflowing(np.minimum(a, b), a, b)


@dataclass(frozen=True, kw_only=True)
class Bf16Max(Bf16Eltwise):
    """The larger of a and b."""

    formula = Formula(_larger)


@dataclass(frozen=True, kw_only=True)
class Bf16Min(Bf16Eltwise):
    """The smaller of a and b."""

    formula = Formula(_smaller)


@dataclass(frozen=True, kw_only=True)
class Bf16Constant(Bf16Op):
    """Base: a tensor and the BF16 number nearest to `value`."""

    value: float

    formula: ClassVar[Formula]

    def infer(self, inputs: Types) -> TensorType:
        (x,) = operands(self, inputs, 1)
        bf16s(self, inputs)
        return self.result(x.shape)

    def evaluate(self, *inputs: Array | None) -> Array:
        (x,) = inputs
        assert x is not None
        number = np.float32(bf16.nearest(self.value))
        return bf16.encode(self.formula.of(bf16.decode(x), number))


@dataclass(frozen=True, kw_only=True)
class Bf16AddConstant(Bf16Constant):
    """x + value."""

    formula = Formula(bf16.add)


@dataclass(frozen=True, kw_only=True)
class Bf16MulConstant(Bf16Constant):
    """x * value."""

    formula = Formula(bf16.multiply)


@dataclass(frozen=True, kw_only=True)
class Bf16MaxConstant(Bf16Constant):
    """x, but at least `value`."""

    formula = Formula(_larger)


@dataclass(frozen=True, kw_only=True)
class Bf16MinConstant(Bf16Constant):
    """x, but at most `value`."""

    formula = Formula(_smaller)
