"""A scale of a feature map is a depthwise convolution."""

from __future__ import annotations

from cvi.ir import Op
from cvi.ops import Conv2d, Scale
from cvi.passes.base import RewritePass
from cvi.passes.edit import Edit, Replacement


class ScaleToConv(RewritePass):
    """A Scale of a 4-D tensor becomes a depthwise 1x1 Conv2d with the same relu; on other
    ranks it stays a Scale."""

    name = "scale-to-conv"
    requires = ("fold-scales", "fuse-relu")

    def rewrite(self, op: Op, edit: Edit) -> Replacement:
        if not isinstance(op, Scale) or len(op.type.shape) != 4:
            return None
        scale = edit.constant(op.inputs[1])
        if scale is None:
            return None
        w = edit.add_constant(f"{op.name}_weight", scale.reshape(-1, 1, 1, 1))
        bias = op.inputs[2] if len(op.inputs) > 2 else ""
        return Conv2d(
            name=op.name, source=op.source, inputs=(op.inputs[0], w, bias), group=len(scale),
            relu=op.relu, relu_max=op.relu_max,
        )  # fmt: skip
