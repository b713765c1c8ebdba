"""A constant added to the result of a matrix product is its bias."""

from __future__ import annotations

import numpy as np

from cvi.ir import Array, Op
from cvi.ops import Add, FullyConnected
from cvi.passes.base import RewritePass
from cvi.passes.edit import Edit, Replacement
from cvi.passes.operands import bias_of


class FoldBias(RewritePass):
    """Add(FullyConnected(x), constant[N]) becomes the FullyConnected's bias when it has no
    relu and no other user. The constant runs along the last axis."""

    name = "fold-bias"
    requires = ("matmul-to-fully-connected",)

    def rewrite(self, op: Op, edit: Edit) -> Replacement:
        if not isinstance(op, Add) or len(op.inputs) != 2 or op.coefficients:
            return None
        for name, other in (op.inputs, op.inputs[::-1]):
            layer, constant = edit.single(name), edit.constant(other)
            if isinstance(layer, FullyConnected) and not layer.relu and constant is not None:
                return self._with_bias(op, layer, constant, edit)
        return None

    def _with_bias(self, op: Add, layer: FullyConnected, values: Array, edit: Edit) -> Replacement:
        bias, outputs = bias_of(layer, edit), layer.type.shape[-1]
        along_last = values.size == 1 or values.shape[-1:] == (outputs,) == (values.size,)
        if bias is None or not along_last or op.type != layer.type:
            return None
        total = np.broadcast_to(bias + values.reshape(-1), (outputs,))
        b = edit.add_constant(f"{op.name}_bias", total)
        return layer.with_(
            name=op.name, source=op.source, inputs=(*layer.inputs[:2], b),
            relu=op.relu, relu_max=op.relu_max,
        )  # fmt: skip
