"""Division by a norm in steps that calibration can watch."""

from __future__ import annotations

import math

import numpy as np

from cvi.ir import Op
from cvi.ops import Mul, Normalize, Reshape, Scale, SquarePower
from cvi.passes.base import RewritePass
from cvi.passes.edit import Edit, Replacement


class ExpandNormalize(RewritePass):
    """Normalize becomes x times the inverse of its norm, times the scale.

    The layers are `<layer>_power` (a SquarePower), `<layer>_product` and the Scale, which
    has the layer's name; without a scale (all 1) the product has it. across_spatial: all
    elements of an image are channels of `<layer>_flat`, `<layer>_inverse` is one number
    per image again.
    """

    name = "expand-normalize"

    def rewrite(self, op: Op, edit: Edit) -> Replacement:
        scale = edit.constant(op.inputs[1]) if isinstance(op, Normalize) else None
        if not isinstance(op, Normalize) or scale is None:
            return None
        ops = _inverse_norm(op, edit)
        operands = (op.inputs[0], ops[-1].name)
        if np.all(scale == 1):
            return [*ops, Mul(name=op.name, inputs=operands, source=op.source)]
        product = Mul(name=edit.fresh(f"{op.name}_product"), inputs=operands)
        operands = (product.name, op.inputs[1])
        return [*ops, product, Scale(name=op.name, inputs=operands, source=op.source)]


def _inverse_norm(op: Normalize, edit: Edit) -> list[Op]:
    x, shape = op.inputs[0], op.type.shape
    power = SquarePower(
        name=edit.fresh(f"{op.name}_power"), inputs=(x,), exponent=-0.5, shift=op.eps
    )
    if not op.across_spatial or math.prod(shape[2:]) == 1:
        return [power]
    flat = Reshape(
        name=edit.fresh(f"{op.name}_flat"), inputs=(x,), shape=(shape[0], math.prod(shape[1:]))
    )
    inverse = Reshape(
        name=edit.fresh(f"{op.name}_inverse"), inputs=(power.name,),
        shape=(shape[0], *(1,) * (len(shape) - 1)),
    )  # fmt: skip
    return [flat, power.with_(inputs=(flat.name,)), inverse]
