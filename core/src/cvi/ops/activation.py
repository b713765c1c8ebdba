"""Functions of one tensor, element by element."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from cvi.ir import Array, Op, TensorType


@dataclass(frozen=True, kw_only=True)
class Unary(Op):
    """Base: an element-wise function of one tensor, `function` gives it in floats.

    fixed_threshold: the absolute maximum that the result can have by definition
    (1 for sigmoid and tanh), None when it depends on the data.
    """

    fixed_threshold: ClassVar[float | None] = None

    def infer(self, inputs: Sequence[TensorType | None]) -> TensorType:
        x = inputs[0]
        assert x is not None
        return x

    def function(self, x: Array) -> Array:
        """The function itself, for fp32 or fp64 arrays of any shape."""
        raise NotImplementedError

    def evaluate(self, *inputs: Array | None) -> Array:
        x = inputs[0]
        assert x is not None
        return self.function(x).astype(x.dtype, copy=False)


@dataclass(frozen=True, kw_only=True)
class Relu(Unary):
    """max(x, 0), clamped at `maximum` when given."""

    maximum: float | None = None


@dataclass(frozen=True, kw_only=True)
class LeakyRelu(Unary):
    """x if x > 0 else slope * x."""

    slope: float = 0.01


@dataclass(frozen=True, kw_only=True)
class PRelu(Op):
    """x if x > 0 else slope[c] * x: inputs x[n,c,...], slope[c] (constant)."""


@dataclass(frozen=True, kw_only=True)
class Clip(Unary):
    """x limited to [minimum, maximum]."""

    minimum: float
    maximum: float


@dataclass(frozen=True, kw_only=True)
class Sigmoid(Unary):
    """scale / (1 + exp(-x)) + bias."""

    scale: float = 1.0
    bias: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Tanh(Unary):
    """tanh(x)."""

    fixed_threshold: ClassVar[float | None] = 1.0


@dataclass(frozen=True, kw_only=True)
class Elu(Unary):
    """x if x > 0 else alpha * (exp(x) - 1)."""

    alpha: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Exp(Unary):
    """scale * exp(x) + bias."""

    scale: float = 1.0
    bias: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Log(Unary):
    """Natural logarithm."""


@dataclass(frozen=True, kw_only=True)
class Sqrt(Unary):
    """Square root."""


@dataclass(frozen=True, kw_only=True)
class Pow(Unary):
    """x to the power `exponent`."""

    exponent: float


@dataclass(frozen=True, kw_only=True)
class Reciprocal(Unary):
    """1 / x."""


@dataclass(frozen=True, kw_only=True)
class Abs(Unary):
    """|x|."""


@dataclass(frozen=True, kw_only=True)
class Neg(Unary):
    """-x."""


@dataclass(frozen=True, kw_only=True)
class Softplus(Unary):
    """scale * log(exp(x) + 1) + bias."""

    scale: float = 1.0
    bias: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Swish(Unary):
    """x * sigmoid(x)."""


@dataclass(frozen=True, kw_only=True)
class Mish(Unary):
    """x * tanh(softplus(x))."""


@dataclass(frozen=True, kw_only=True)
class HardSigmoid(Unary):
    """max(0, min(1, alpha * x + beta))."""

    alpha: float = 0.2
    beta: float = 0.5


@dataclass(frozen=True, kw_only=True)
class HardSwish(Unary):
    """x * max(0, min(1, x / 6 + 0.5))."""


@dataclass(frozen=True, kw_only=True)
class Erf(Unary):
    """Error function."""


@dataclass(frozen=True, kw_only=True)
class Gelu(Unary):
    """0.5 * x * (1 + erf(x / sqrt(2))), or its tanh approximation."""

    approximate: bool = False
