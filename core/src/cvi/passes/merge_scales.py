"""Two scales in a row are one."""

from __future__ import annotations

import numpy as np

from cvi.ir import Op
from cvi.ops import Scale
from cvi.passes.base import RewritePass
from cvi.passes.edit import Edit, Replacement
from cvi.passes.operands import bias_of


class MergeScales(RewritePass):
    """Scale(Scale(x)) becomes one Scale when the inner one has no relu and no other user:
    s = s1 * s2, b = b1 * s2 + b2."""

    name = "merge-scales"

    def rewrite(self, op: Op, edit: Edit) -> Replacement:
        if not isinstance(op, Scale):
            return None
        inner = edit.single(op.inputs[0])
        if not isinstance(inner, Scale) or inner.relu:
            return None
        s1, s2 = edit.constant(inner.inputs[1]), edit.constant(op.inputs[1])
        b1, b2 = bias_of(inner, edit), bias_of(op, edit)
        if s1 is None or s2 is None or b1 is None or b2 is None:
            return None
        s = edit.add_constant(f"{op.name}_scale", s1.astype(np.float64) * s2)
        b = edit.add_constant(f"{op.name}_bias", b1 * s2 + b2)
        return op.with_(inputs=(inner.inputs[0], s, b))
