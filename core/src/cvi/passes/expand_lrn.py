"""Local response normalisation in steps that calibration can watch."""

from __future__ import annotations

from cvi.ir import Op
from cvi.ops import Lrn, Mul, Pow, SquareSum
from cvi.passes.base import RewritePass
from cvi.passes.edit import Edit, Replacement


class ExpandLrn(RewritePass):
    """Lrn becomes x * (k + alpha / size * SquareSum(x))^-beta: the layers `<layer>_sum`,
    `<layer>_power` and the product, which has the layer's name."""

    name = "expand-lrn"

    def rewrite(self, op: Op, edit: Edit) -> Replacement:
        if not isinstance(op, Lrn):
            return None
        (x,) = op.inputs
        total = SquareSum(name=edit.fresh(f"{op.name}_sum"), inputs=(x,), size=op.size)
        power = Pow(
            name=edit.fresh(f"{op.name}_power"), inputs=(total.name,), exponent=-op.beta,
            scale=op.alpha / op.size, shift=op.k,
        )  # fmt: skip
        product = Mul(name=op.name, inputs=(x, power.name), source=op.source)
        return [total, power, product]
