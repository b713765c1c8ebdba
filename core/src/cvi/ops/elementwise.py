"""Arithmetic on two or more tensors with numpy broadcasting."""

from __future__ import annotations

from dataclasses import dataclass

from cvi.ir import Op


@dataclass(frozen=True, kw_only=True)
class Eltwise(Op):
    """Base of the element-wise ops; operands may be constants and broadcast as in numpy."""

    relu: bool = False
    relu_max: float | None = None


@dataclass(frozen=True, kw_only=True)
class Add(Eltwise):
    """Sum of all operands (two or more)."""


@dataclass(frozen=True, kw_only=True)
class Sub(Eltwise):
    """First operand minus the second."""


@dataclass(frozen=True, kw_only=True)
class Mul(Eltwise):
    """Product of all operands (two or more)."""


@dataclass(frozen=True, kw_only=True)
class Div(Eltwise):
    """First operand divided by the second."""


@dataclass(frozen=True, kw_only=True)
class Max(Eltwise):
    """Element-wise maximum of all operands."""


@dataclass(frozen=True, kw_only=True)
class Min(Eltwise):
    """Element-wise minimum of all operands."""
