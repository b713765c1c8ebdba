"""Compute at compile time what does not depend on the network's inputs."""

from __future__ import annotations

import numpy as np

from cvi.ir import DType, Input, Op
from cvi.passes.base import RewritePass
from cvi.passes.edit import Constant, Edit, Replacement

_ELEMENT_LIMIT = 1 << 26


class FoldConstants(RewritePass):
    """An op whose operands are all constants becomes a constant of the op's name.

    Not when it is a network output, or its result is huge or has a scale.
    """

    name = "fold-constants"

    def rewrite(self, op: Op, edit: Edit) -> Replacement:
        if isinstance(op, Input) or not op.inputs or op.name in edit.graph.outputs:
            return None
        plain = op.type.scale is None and op.type.dtype is not DType.BF16
        if not plain or op.type.elements > _ELEMENT_LIMIT:
            return None
        values = [edit.constant(name) for name in op.inputs]
        if any(v is None and name for v, name in zip(values, op.inputs, strict=True)):
            return None
        return Constant(np.ascontiguousarray(op.evaluate(*values)).reshape(op.type.shape))
