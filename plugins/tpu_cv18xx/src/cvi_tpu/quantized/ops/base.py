"""The base class of the quantised ops and the checks they share."""

from __future__ import annotations

from dataclasses import dataclass

from cvi.ir import DType, Op, Shape, TensorType
from cvi.ops.check import Types, require

Pair = tuple[int, int]
Pads = tuple[int, int, int, int]


@dataclass(frozen=True, kw_only=True)
class Int8Op(Op):
    """Base of the quantised ops that run on the TPU with an INT8 result.

    out_scale: real value of one step of the result; becomes `type.scale`.
    out_zero: the integer of the result that stands for 0; becomes `type.zero`. The
    arithmetic does not depend on it.
    """

    out_scale: float
    out_zero: int = 0

    def result(self, shape: Shape) -> TensorType:
        """The type of a result of that shape."""
        require(self, self.out_scale > 0, f"out_scale must be positive but is {self.out_scale}")
        return TensorType(tuple(shape), DType.INT8, self.out_scale, self.out_zero)


def int8s(op: Op, inputs: Types) -> None:
    """Every operand is int8."""
    for t in inputs:
        if t is not None:
            require(op, t.dtype is DType.INT8, f"computes on int8 tensors but reads {t}")


def in_range(op: Op, label: str, value: int, low: int, high: int) -> None:
    """An integer attribute fits the field of the instruction."""
    require(op, low <= value <= high, f"{label} must be in {low}..{high} but is {value}")


def check_rate(op: Op, multiplier: int, shift: int) -> None:
    """Multiplier and shift of QDM; larger multipliers act negative (FACTS_TPU 3.3)."""
    in_range(op, "multiplier", multiplier, 0, 2**31 - 1)
    in_range(op, "shift", shift, 0, 31)
