"""Ops that only move elements keep their class, in whatever element type they move."""

from __future__ import annotations

from cvi.ir import DType
from cvi.ops import Concat, Movement
from cvi_tpu.quantized.registry import TPU, quantizes
from cvi_tpu.quantized.rewriter import Operand, Rewriter

_ALL = (DType.INT8, DType.BF16, DType.FP32)


def movement(op: Movement, to: Rewriter) -> None:
    """The same op in the type in which its operand is computed: casts can wait. Where the
    result is larger and only read in the other type of the TPU, the operand is cast."""
    (name,) = op.inputs
    dtype = to.computed_in(name) or DType.INT8
    grows = op.type.elements > to.source.type_of(name).elements
    if grows and dtype in TPU and len(to.read_in) == 1 and to.read_in <= set(TPU):
        (dtype,) = to.read_in
    moved = op.with_(inputs=(to.form(name, dtype).name,))
    if to.is_index(name):
        to.define_indices(moved)
    else:
        to.define(moved)


for _precision in _ALL:
    quantizes(Movement, precision=_precision)(movement)


@quantizes(Concat)
def concat_int8(op: Concat, to: Rewriter) -> None:
    """Operands brought to the scale of the result, then the same op."""
    _concat(op, to, DType.INT8)


@quantizes(Concat, precision=DType.BF16)
def concat_bf16(op: Concat, to: Rewriter) -> None:
    """The same op on BF16."""
    _concat(op, to, DType.BF16)


def _concat(op: Concat, to: Rewriter, planned: DType) -> None:
    """In the type in which all operands are computed, if there is one, else as planned."""
    types = {to.computed_in(name) for name in op.inputs} - {None}
    dtype = types.pop() if len(types) == 1 else planned
    if dtype is DType.INT8:
        scale = to.scale(op.name)
        operands: list[Operand] = [
            to.int8_at(name, scale, op.name, f"requant_{i}") for i, name in enumerate(op.inputs)
        ]
    else:
        operands = [to.form(name, dtype or planned) for name in op.inputs]
    joined = op.with_(inputs=tuple(x.name for x in operands))
    if all(to.is_index(name) for name in op.inputs):
        to.define_indices(joined)
    else:
        to.define(joined)
