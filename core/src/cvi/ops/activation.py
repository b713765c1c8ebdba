"""Functions of one tensor, element by element."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cvi.ir import Array, Op, TensorType
from cvi.ops.check import Types, floats, operands, require
from cvi.ops.norm import channels, per_channel


def _logistic(x: Array) -> Array:
    """1 / (1 + exp(-x)) without overflow."""
    small = np.exp(-np.abs(x))
    return np.asarray(np.where(x >= 0, x.dtype.type(1), small) / (1 + small))


def _softplus(x: Array) -> Array:
    """log(1 + exp(x)) without overflow."""
    return np.asarray(np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))))


def _erf(x: Array) -> Array:
    """Error function, exact to the last bit or so of fp64."""
    values = np.fromiter(map(math.erf, x.ravel().tolist()), np.float64, count=x.size)
    return values.reshape(x.shape).astype(x.dtype)


@dataclass(frozen=True, kw_only=True)
class Unary(Op):
    """Base: an element-wise function of one tensor, `function` gives it in floats.

    fixed_threshold: the absolute maximum that the result can have by definition
    (1 for sigmoid and tanh), None when it depends on the data.
    """

    fixed_threshold: ClassVar[float | None] = None

    def infer(self, inputs: Types) -> TensorType:
        (x,) = operands(self, inputs, 1)
        floats(self, inputs)
        return x

    def function(self, x: Array) -> Array:
        """The function itself, for fp32 or fp64 arrays of any shape."""
        raise NotImplementedError

    def evaluate(self, *inputs: Array | None) -> Array:
        (x,) = inputs
        assert x is not None
        with np.errstate(all="ignore"):
            return np.asarray(self.function(x)).astype(x.dtype, copy=False)


@dataclass(frozen=True, kw_only=True)
class Relu(Unary):
    """max(x, 0), clamped at `maximum` when given."""

    maximum: float | None = None

    def function(self, x: Array) -> Array:
        y = np.maximum(x, 0)
        return y if self.maximum is None else np.minimum(y, self.maximum)


@dataclass(frozen=True, kw_only=True)
class LeakyRelu(Unary):
    """x if x > 0 else slope * x."""

    slope: float = 0.01

    def function(self, x: Array) -> Array:
        return np.where(x > 0, x, x * self.slope)


@dataclass(frozen=True, kw_only=True)
class PRelu(Op):
    """x if x > 0 else slope[c] * x: inputs x[n,c,...], slope[c] (constant)."""

    def infer(self, inputs: Types) -> TensorType:
        x, slope = operands(self, inputs, 2)
        floats(self, inputs)
        require(self, slope.shape == (channels(x),), f"slope {slope} does not fit {x}")
        return x

    def evaluate(self, *inputs: Array | None) -> Array:
        x, slope = inputs
        assert x is not None and slope is not None
        return np.where(x > 0, x, x * per_channel(slope, x.ndim))


@dataclass(frozen=True, kw_only=True)
class Clip(Unary):
    """x limited to [minimum, maximum]."""

    minimum: float
    maximum: float

    def function(self, x: Array) -> Array:
        return np.minimum(np.maximum(x, self.minimum), self.maximum)


@dataclass(frozen=True, kw_only=True)
class Sigmoid(Unary):
    """scale / (1 + exp(-x)) + bias."""

    scale: float = 1.0
    bias: float = 0.0

    def function(self, x: Array) -> Array:
        return self.scale * _logistic(x) + self.bias


@dataclass(frozen=True, kw_only=True)
class Tanh(Unary):
    """tanh(x)."""

    fixed_threshold: ClassVar[float | None] = 1.0

    def function(self, x: Array) -> Array:
        return np.asarray(np.tanh(x))


@dataclass(frozen=True, kw_only=True)
class Elu(Unary):
    """x if x > 0 else alpha * (exp(x) - 1)."""

    alpha: float = 1.0

    def function(self, x: Array) -> Array:
        return np.where(x > 0, x, self.alpha * np.expm1(np.minimum(x, 0)))


@dataclass(frozen=True, kw_only=True)
class Exp(Unary):
    """scale * exp(x) + bias."""

    scale: float = 1.0
    bias: float = 0.0

    def function(self, x: Array) -> Array:
        return np.asarray(self.scale * np.exp(x) + self.bias)


@dataclass(frozen=True, kw_only=True)
class Log(Unary):
    """Natural logarithm."""

    def function(self, x: Array) -> Array:
        return np.asarray(np.log(x))


@dataclass(frozen=True, kw_only=True)
class Sqrt(Unary):
    """Square root."""

    def function(self, x: Array) -> Array:
        return np.asarray(np.sqrt(x))


@dataclass(frozen=True, kw_only=True)
class Pow(Unary):
    """x to the power `exponent`."""

    exponent: float

    def function(self, x: Array) -> Array:
        return np.asarray(np.power(x, self.exponent))


@dataclass(frozen=True, kw_only=True)
class Reciprocal(Unary):
    """1 / x."""

    def function(self, x: Array) -> Array:
        return np.asarray(1 / x)


@dataclass(frozen=True, kw_only=True)
class Abs(Unary):
    """|x|."""

    def function(self, x: Array) -> Array:
        return np.asarray(np.abs(x))


@dataclass(frozen=True, kw_only=True)
class Neg(Unary):
    """-x."""

    def function(self, x: Array) -> Array:
        return np.asarray(-x)


@dataclass(frozen=True, kw_only=True)
class Softplus(Unary):
    """scale * log(exp(x) + 1) + bias."""

    scale: float = 1.0
    bias: float = 0.0

    def function(self, x: Array) -> Array:
        return self.scale * _softplus(x) + self.bias


@dataclass(frozen=True, kw_only=True)
class Swish(Unary):
    """x * sigmoid(x)."""

    def function(self, x: Array) -> Array:
        return x * _logistic(x)


@dataclass(frozen=True, kw_only=True)
class Mish(Unary):
    """x * tanh(softplus(x))."""

    def function(self, x: Array) -> Array:
        return x * np.tanh(_softplus(x))


@dataclass(frozen=True, kw_only=True)
class HardSigmoid(Unary):
    """max(0, min(1, alpha * x + beta))."""

    alpha: float = 0.2
    beta: float = 0.5

    def function(self, x: Array) -> Array:
        return np.clip(self.alpha * x + self.beta, 0, 1)


@dataclass(frozen=True, kw_only=True)
class HardSwish(Unary):
    """x * max(0, min(1, x / 6 + 0.5))."""

    def function(self, x: Array) -> Array:
        return x * np.clip(x / 6 + 0.5, 0, 1)


@dataclass(frozen=True, kw_only=True)
class Erf(Unary):
    """Error function."""

    def function(self, x: Array) -> Array:
        return _erf(x)


@dataclass(frozen=True, kw_only=True)
class Gelu(Unary):
    """0.5 * x * (1 + erf(x / sqrt(2))), or its tanh approximation."""

    approximate: bool = False

    def function(self, x: Array) -> Array:
        if self.approximate:
            inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
            return np.asarray(0.5 * x * (1 + np.tanh(inner)))
        return np.asarray(0.5 * x * (1 + _erf(x / math.sqrt(2))))
