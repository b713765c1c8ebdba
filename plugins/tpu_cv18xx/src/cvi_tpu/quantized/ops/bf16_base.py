"""The base class of the ops with a BF16 result. Values and constants are uint16 patterns."""

from __future__ import annotations

from dataclasses import dataclass

from cvi.ir import DType, Op, Shape, TensorType
from cvi.ops.check import Types, require


@dataclass(frozen=True, kw_only=True)
class Bf16Op(Op):
    """Base of the ops that the TPU computes in BF16.

    The order of every sum is part of an op's meaning: the compiler does not change it.
    """

    def result(self, shape: Shape) -> TensorType:
        """The type of a result of that shape."""
        return TensorType(tuple(shape), DType.BF16)


def bf16s(op: Op, inputs: Types) -> None:
    """Every operand is BF16; a constant's patterns have the type uint16."""
    for t in inputs:
        if t is not None:
            known = t.dtype in (DType.BF16, DType.UINT16)
            require(op, known, f"computes on BF16 tensors but reads {t}")
