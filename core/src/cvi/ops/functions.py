"""Functions of one tensor that networks seldom use, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from cvi.ir import Array, TensorType
from cvi.ops.activation import Unary
from cvi.ops.check import Types, require

FUNCTIONS: dict[str, Callable[[Array], Any]] = {
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "asinh": np.arcsinh,
    "acosh": np.arccosh,
    "atanh": np.arctanh,
    "floor": np.floor,
    "ceil": np.ceil,
    "round": np.rint,
    "sign": np.sign,
}
"""round: half to even."""


@dataclass(frozen=True, kw_only=True)
class Elementary(Unary):
    """One of the FUNCTIONS, called `which`."""

    which: str

    def infer(self, inputs: Types) -> TensorType:
        known = ", ".join(FUNCTIONS)
        require(self, self.which in FUNCTIONS, f"{self.which!r} is not one of {known}")
        return super().infer(inputs)

    def function(self, x: Array) -> Array:
        return np.asarray(FUNCTIONS[self.which](x))


@dataclass(frozen=True, kw_only=True)
class Shrink(Unary):
    """x + bias below -threshold, x - bias above it, else 0."""

    threshold: float = 0.5
    bias: float = 0.0

    def function(self, x: Array) -> Array:
        below = np.where(x < -self.threshold, x + self.bias, 0)
        return np.where(x > self.threshold, x - self.bias, below)


@dataclass(frozen=True, kw_only=True)
class ThresholdedRelu(Unary):
    """x above `threshold`, else 0."""

    threshold: float = 1.0

    def function(self, x: Array) -> Array:
        return np.where(x > self.threshold, x, 0)


COMPARISONS: dict[str, Callable[[Array, Any], Any]] = {
    "equal": np.equal,
    "less": np.less,
    "less_equal": np.less_equal,
    "greater": np.greater,
    "greater_equal": np.greater_equal,
}


@dataclass(frozen=True, kw_only=True)
class Compare(Unary):
    """1 where x compares like `which` (one of COMPARISONS) with `value`, else 0."""

    which: str
    value: float = 0.0

    fixed_threshold: ClassVar[float | None] = 1.0

    def infer(self, inputs: Types) -> TensorType:
        known = ", ".join(COMPARISONS)
        require(self, self.which in COMPARISONS, f"{self.which!r} is not one of {known}")
        return super().infer(inputs)

    def function(self, x: Array) -> Array:
        return np.asarray(COMPARISONS[self.which](x, x.dtype.type(self.value)), x.dtype)
