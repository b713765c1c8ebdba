"""A mean or maximum over height and width is a global pool."""

from __future__ import annotations

from cvi.ir import Op
from cvi.ops import AvgPool2d, MaxPool2d, Reduce, Reshape
from cvi.passes.base import RewritePass
from cvi.passes.edit import Edit, Replacement


class ReduceToPool(RewritePass):
    """Reduce mean or max over axes (2, 3) of a 4-D tensor becomes a global AvgPool2d or
    MaxPool2d, followed by a Reshape when the axes are dropped."""

    name = "reduce-to-pool"

    def rewrite(self, op: Op, edit: Edit) -> Replacement:
        if not isinstance(op, Reduce) or op.method not in ("mean", "max") or op.axes != (2, 3):
            return None
        shape = edit.type_of(op.inputs[0]).shape
        if len(shape) != 4:
            return None
        pool = AvgPool2d if op.method == "mean" else MaxPool2d
        window = (shape[2], shape[3])
        if op.keepdims:
            return pool(name=op.name, inputs=op.inputs, source=op.source, kernel=window)
        pooled = pool(name=edit.fresh(f"{op.name}_pool"), inputs=op.inputs, kernel=window)
        flat = Reshape(name=op.name, inputs=(pooled.name,), source=op.source, shape=op.type.shape)
        return pooled, flat
