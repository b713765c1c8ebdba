"""Instance normalisation without and with its parameters."""

from __future__ import annotations

import numpy as np

from cvi.ir import Op
from cvi.ops import InstanceNorm, Scale
from cvi.passes.base import RewritePass
from cvi.passes.edit import Edit, Replacement


class SplitInstanceNorm(RewritePass):
    """InstanceNorm with a gamma or a beta becomes one with gamma 1 and beta 0, the layer
    `<layer>_unit`, and a Scale, which has the layer's name."""

    name = "split-instance-norm"

    def rewrite(self, op: Op, edit: Edit) -> Replacement:
        if not isinstance(op, InstanceNorm):
            return None
        gamma, beta = (edit.constant(name) for name in op.inputs[1:])
        if gamma is None or beta is None or (np.all(gamma == 1) and not np.any(beta)):
            return None
        one = edit.add_constant(f"{op.name}_one", np.ones_like(gamma))
        zero = edit.add_constant(f"{op.name}_zero", np.zeros_like(beta))
        name = edit.fresh(f"{op.name}_unit")
        unit = InstanceNorm(name=name, inputs=(op.inputs[0], one, zero), eps=op.eps)
        bias = op.inputs[2] if np.any(beta) else ""
        operands = (unit.name, op.inputs[1], bias)
        return [unit, Scale(name=op.name, inputs=operands, source=op.source)]
