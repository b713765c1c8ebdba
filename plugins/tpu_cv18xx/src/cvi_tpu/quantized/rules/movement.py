"""Ops that only move elements keep their class, in int8 or in float."""

from __future__ import annotations

from cvi.ops import Concat, Movement
from cvi_tpu.quantized.registry import quantizes
from cvi_tpu.quantized.rewriter import Rewriter


@quantizes(Movement)
def movement(op: Movement, to: Rewriter) -> None:
    """The same op on int8, or on fp32 when its operand is computed in float."""
    (name,) = op.inputs
    if to.is_index(name):
        to.define_indices(op)
    elif to.is_float(name):
        to.define_fp32(op)
    else:
        to.define_int8(op.with_(inputs=(to.int8(name).name,)))


@quantizes(Concat)
def concat(op: Concat, to: Rewriter) -> None:
    """Operands brought to the scale of the result, then the same op."""
    if all(to.is_index(name) for name in op.inputs):
        to.define_indices(op)
        return
    if all(to.is_float(name) for name in op.inputs):
        to.define_fp32(op)
        return
    scale = to.scale(op.name)
    operands = tuple(
        to.int8_at(name, scale, op.name, f"requant_{i}").name for i, name in enumerate(op.inputs)
    )
    to.define_int8(op.with_(inputs=operands))
