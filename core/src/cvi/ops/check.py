"""What shape rules have in common: operand checks with clear errors."""

from __future__ import annotations

from collections.abc import Sequence

from cvi.errors import ModelError
from cvi.ir.op import Op
from cvi.ir.types import DType, Shape, TensorType

Types = Sequence[TensorType | None]


def broken(op: Op, why: str) -> ModelError:
    """The error of a layer whose operands or attributes do not fit."""
    return ModelError(why, where=f"{op.kind} {op.name}")


def require(op: Op, condition: bool, why: str) -> None:
    """Raise the layer's error unless the condition holds."""
    if not condition:
        raise broken(op, why)


def operands(op: Op, inputs: Types, least: int, most: int | None = None) -> list[TensorType]:
    """The operand types when there are `least` to `most` (default: `least`) and none is absent."""
    most = least if most is None else most
    if not least <= len(inputs) <= most:
        wanted = str(least) if least == most else f"{least} to {most}"
        raise broken(op, f"takes {wanted} operands but has {len(inputs)}")
    present = [t for t in inputs if t is not None]
    require(op, len(present) == len(inputs), "an operand is missing that is not optional")
    return present


def with_bias(op: Op, inputs: Types, required: int) -> tuple[list[TensorType], TensorType | None]:
    """The required operands, and the bias after them (None when absent)."""
    bias = inputs[required] if len(inputs) == required + 1 else None
    required_inputs = inputs[:required] if len(inputs) == required + 1 else inputs
    return operands(op, required_inputs, required), bias


def floats(op: Op, types: Sequence[TensorType | None]) -> None:
    """Every present operand is fp32."""
    for t in types:
        if t is not None and t.dtype is not DType.FP32:
            raise broken(op, f"computes on fp32 tensors but reads {t}")


def rank(op: Op, x: TensorType, dims: int) -> Shape:
    """The shape of a tensor that must have `dims` dimensions."""
    require(op, len(x.shape) == dims, f"needs a tensor of {dims} dimensions but reads {x}")
    return x.shape


def positive(op: Op, label: str, values: Sequence[int]) -> None:
    require(op, all(v > 0 for v in values), f"{label} must be positive but is {tuple(values)}")


def not_negative(op: Op, label: str, values: Sequence[int]) -> None:
    require(op, all(v >= 0 for v in values), f"{label} must not be negative but is {tuple(values)}")


def per_dimension(op: Op, label: str, values: Sequence[int], x: TensorType) -> None:
    """An attribute has one entry per dimension of x."""
    require(
        op,
        len(values) == len(x.shape),
        f"{label} has {len(values)} entries but the tensor is {x}",
    )


def broadcast(op: Op, *shapes: Shape) -> Shape:
    """The common shape of operands that broadcast as in numpy."""
    dims = max(map(len, shapes), default=0)
    padded = [(1,) * (dims - len(s)) + tuple(s) for s in shapes]
    result = []
    for sizes in zip(*padded, strict=True):
        others = {s for s in sizes if s != 1}
        if len(others) > 1:
            raise broken(op, "cannot broadcast " + " with ".join(str(tuple(s)) for s in shapes))
        result.append(others.pop() if others else 1)
    return tuple(result)
