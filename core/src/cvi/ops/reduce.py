"""Reductions."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cvi.ir import Array, Op, Shape, TensorType
from cvi.ops.check import Types, floats, operands, require


def _l2(x: Array, *, axis: tuple[int, ...], keepdims: bool) -> Array:
    return np.asarray(np.sqrt(np.square(x).sum(axis=axis, keepdims=keepdims)))


_METHODS: dict[str, Callable[..., Array]] = {
    "mean": np.mean,
    "max": np.max,
    "min": np.min,
    "sum": np.sum,
    "l2": _l2,
}


@dataclass(frozen=True, kw_only=True)
class Reduce(Op):
    """Reduction over `axes` (non-negative, sorted). method: mean, max, min, sum, l2."""

    method: str
    axes: tuple[int, ...]
    keepdims: bool = True

    def infer(self, inputs: Types) -> TensorType:
        (x,) = operands(self, inputs, 1)
        floats(self, inputs)
        known = self.method in _METHODS
        require(self, known, f"method {self.method!r} is not one of {', '.join(_METHODS)}")
        _check_axes(self, self.axes, x)
        return x.with_shape(reduced(x.shape, self.axes, self.keepdims))

    def evaluate(self, *inputs: Array | None) -> Array:
        (x,) = inputs
        assert x is not None
        return np.asarray(_METHODS[self.method](x, axis=self.axes, keepdims=self.keepdims))


@dataclass(frozen=True, kw_only=True)
class Std(Op):
    """sqrt(sum of (x - mean)^2 / (n - correction)) over n elements along `axes`.

    axes: non-negative, sorted, at least one. correction: 0 for the deviation of the elements
    themselves, 1 (Bessel's) for an unbiased variance of what they are a sample of.
    """

    axes: tuple[int, ...]
    correction: float = 0.0
    keepdims: bool = True

    def infer(self, inputs: Types) -> TensorType:
        (x,) = operands(self, inputs, 1)
        floats(self, inputs)
        require(self, bool(self.axes), "has no axes to reduce")
        _check_axes(self, self.axes, x)
        count = math.prod(x.shape[i] for i in self.axes)
        fits = 0 <= self.correction < count
        require(self, fits, f"correction {self.correction} does not fit {count} elements")
        return x.with_shape(reduced(x.shape, self.axes, self.keepdims))

    def evaluate(self, *inputs: Array | None) -> Array:
        (x,) = inputs
        assert x is not None
        count = math.prod(x.shape[i] for i in self.axes)
        squares = np.square(x - x.mean(axis=self.axes, keepdims=True))
        total = squares.sum(axis=self.axes, keepdims=self.keepdims)
        return np.asarray(np.sqrt(total / x.dtype.type(count - self.correction)))


def _check_axes(op: Op, axes: tuple[int, ...], x: TensorType) -> None:
    fits = list(axes) == sorted(set(axes) & set(range(len(x.shape))))
    require(op, fits, f"axes {axes} do not fit {x}")


def reduced(shape: Shape, axes: tuple[int, ...], keepdims: bool) -> Shape:
    """The shape of a reduction over axes."""
    if keepdims:
        return tuple(1 if i in axes else size for i, size in enumerate(shape))
    return tuple(size for i, size in enumerate(shape) if i not in axes)
