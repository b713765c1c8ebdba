"""Reductions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cvi.ir import Array, Op, TensorType
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
        fits = list(self.axes) == sorted(set(self.axes) & set(range(len(x.shape))))
        require(self, fits, f"axes {self.axes} do not fit {x}")
        if self.keepdims:
            return x.with_shape(tuple(1 if i in self.axes else s for i, s in enumerate(x.shape)))
        return x.with_shape(tuple(s for i, s in enumerate(x.shape) if i not in self.axes))

    def evaluate(self, *inputs: Array | None) -> Array:
        (x,) = inputs
        assert x is not None
        return np.asarray(_METHODS[self.method](x, axis=self.axes, keepdims=self.keepdims))
