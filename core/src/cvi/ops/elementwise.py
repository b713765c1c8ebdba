"""Arithmetic on two or more tensors with numpy broadcasting."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import ClassVar

import numpy as np

from cvi.ir import Array, Op, TensorType
from cvi.ops.check import Types, broadcast, operands, require
from cvi.ops.clamp import check_clamp, clamp

_MANY = 1 << 16


@dataclass(frozen=True, kw_only=True)
class Eltwise(Op):
    """Base of the element-wise ops; operands may be constants and broadcast as in numpy."""

    relu: bool = False
    relu_max: float | None = None

    arity: ClassVar[int] = _MANY
    ufunc: ClassVar[np.ufunc]

    def infer(self, inputs: Types) -> TensorType:
        types = operands(self, inputs, 2, self.arity)
        kinds = {t.dtype for t in types}
        require(self, len(kinds) == 1, f"mixes tensors of {', '.join(sorted(kinds))}")
        check_clamp(self, self.relu, self.relu_max)
        return TensorType(broadcast(self, *(t.shape for t in types)), types[0].dtype)

    def evaluate(self, *inputs: Array | None) -> Array:
        arrays = [x for x in inputs if x is not None]
        with np.errstate(all="ignore"):
            y = np.asarray(reduce(type(self).ufunc, arrays))
        return clamp(y.astype(arrays[0].dtype, copy=False), self.relu, self.relu_max)


@dataclass(frozen=True, kw_only=True)
class Add(Eltwise):
    """Sum of all operands (two or more), each times its coefficient.

    coefficients: one per operand; empty when all are 1.
    """

    coefficients: tuple[float, ...] = ()

    ufunc: ClassVar[np.ufunc] = np.add

    def infer(self, inputs: Types) -> TensorType:
        given, count = len(self.coefficients), len(inputs)
        fits = given in (0, count)
        require(self, fits, f"has {given} coefficients for {count} operands")
        return super().infer(inputs)

    def evaluate(self, *inputs: Array | None) -> Array:
        arrays = [x for x in inputs if x is not None]
        if self.coefficients:
            pairs = zip(arrays, self.coefficients, strict=True)
            arrays = [np.asarray(x * x.dtype.type(factor)) for x, factor in pairs]
        return super().evaluate(*arrays)

    @property
    def weights(self) -> tuple[float, ...]:
        """The coefficient of every operand."""
        return self.coefficients or (1.0,) * len(self.inputs)


@dataclass(frozen=True, kw_only=True)
class Sub(Eltwise):
    """First operand minus the second."""

    arity: ClassVar[int] = 2
    ufunc: ClassVar[np.ufunc] = np.subtract


@dataclass(frozen=True, kw_only=True)
class Mul(Eltwise):
    """Product of all operands (two or more)."""

    ufunc: ClassVar[np.ufunc] = np.multiply


@dataclass(frozen=True, kw_only=True)
class Div(Eltwise):
    """First operand divided by the second."""

    arity: ClassVar[int] = 2
    ufunc: ClassVar[np.ufunc] = np.divide


@dataclass(frozen=True, kw_only=True)
class Max(Eltwise):
    """Element-wise maximum of all operands."""

    ufunc: ClassVar[np.ufunc] = np.maximum


@dataclass(frozen=True, kw_only=True)
class Min(Eltwise):
    """Element-wise minimum of all operands."""

    ufunc: ClassVar[np.ufunc] = np.minimum
