"""Division by a norm in steps that calibration can watch."""

from __future__ import annotations

import numpy as np

from cvi.ir import Op
from cvi.ops import Mul, Normalize, Pow, Reduce, Scale, SquareSum
from cvi.passes.base import RewritePass
from cvi.passes.edit import Edit, Replacement


class ExpandNormalize(RewritePass):
    """Normalize becomes x * (sum of squares + eps)^-1/2 * scale.

    The layers are `<layer>_sum` (SquareSum over channels), `<layer>_total` (its Reduce over
    the image, when across_spatial), `<layer>_power`, `<layer>_product` and the Scale, which
    has the layer's name; without a scale (all 1) the product has it.
    """

    name = "expand-normalize"

    def rewrite(self, op: Op, edit: Edit) -> Replacement:
        scale = edit.constant(op.inputs[1]) if isinstance(op, Normalize) else None
        if not isinstance(op, Normalize) or scale is None:
            return None
        x = op.inputs[0]
        ops: list[Op] = [SquareSum(name=edit.fresh(f"{op.name}_sum"), inputs=(x,))]
        axes = tuple(range(2, len(op.type.shape)))
        if op.across_spatial and axes:
            total = edit.fresh(f"{op.name}_total")
            ops.append(Reduce(name=total, inputs=(ops[-1].name,), method="sum", axes=axes))
        power = edit.fresh(f"{op.name}_power")
        ops.append(Pow(name=power, inputs=(ops[-1].name,), exponent=-0.5, shift=op.eps))
        if np.all(scale == 1):
            return [*ops, Mul(name=op.name, inputs=(x, power), source=op.source)]
        product = Mul(name=edit.fresh(f"{op.name}_product"), inputs=(x, power))
        operands = (product.name, op.inputs[1])
        return [*ops, product, Scale(name=op.name, inputs=operands, source=op.source)]
