"""Local response normalisation in steps that calibration can watch."""

from __future__ import annotations

from cvi.ir import Op
from cvi.ops import Lrn, Mul
from cvi.passes.base import RewritePass
from cvi.passes.edit import Edit, Replacement


class ExpandLrn(RewritePass):
    """Lrn becomes the product of x with a SquarePower of x, the layer `<layer>_power`."""

    name = "expand-lrn"

    def rewrite(self, op: Op, edit: Edit) -> Replacement:
        if not isinstance(op, Lrn):
            return None
        power = op.power.with_(name=edit.fresh(f"{op.name}_power"), inputs=op.inputs)
        operands = (op.inputs[0], power.name)
        return [power, Mul(name=op.name, inputs=operands, source=op.source)]
