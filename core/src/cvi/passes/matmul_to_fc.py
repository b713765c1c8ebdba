"""A product with a constant matrix is a fully connected layer."""

from __future__ import annotations

from cvi.ir import Op
from cvi.ops import FullyConnected, MatMul
from cvi.passes.base import RewritePass
from cvi.passes.edit import Edit, Replacement


class MatMulToFullyConnected(RewritePass):
    """MatMul(x, constant[K, N]) becomes FullyConnected with the transposed weight."""

    name = "matmul-to-fully-connected"

    def rewrite(self, op: Op, edit: Edit) -> Replacement:
        if not isinstance(op, MatMul):
            return None
        matrix = edit.constant(op.inputs[1])
        if matrix is None or matrix.ndim != 2:
            return None
        w = edit.add_constant(f"{op.name}_weight", matrix.T)
        return FullyConnected(
            name=op.name, inputs=(op.inputs[0], w, ""), source=op.source, relu=op.relu
        )
