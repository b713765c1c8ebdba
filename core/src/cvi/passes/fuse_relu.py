"""A relu costs nothing when the op before it clamps its result."""

from __future__ import annotations

from cvi.ir import Op
from cvi.ops import (
    AvgPool2d,
    Conv2d,
    ConvTranspose2d,
    Eltwise,
    FullyConnected,
    MatMul,
    Relu,
    Scale,
)
from cvi.passes.base import RewritePass
from cvi.passes.clip_to_relu import lower_bound
from cvi.passes.edit import Edit, Replacement


class FuseRelu(RewritePass):
    """Relu becomes relu / relu_max of the op before it, if that has no other user.

    Convolutions, FullyConnected, element-wise ops and Scale take any Relu; AvgPool2d and
    MatMul only one without maximum.
    """

    name = "fuse-relu"
    requires = ("clip-to-relu", "fold-scales", "fold-bias", "fuse-activations")

    def rewrite(self, op: Op, edit: Edit) -> Replacement:
        if not isinstance(op, Relu):
            return None
        layer = edit.single(op.inputs[0])
        if isinstance(layer, (AvgPool2d, MatMul)) and op.maximum is None:
            return layer.with_(name=op.name, source=op.source, relu=True)
        if isinstance(layer, (Conv2d, ConvTranspose2d, FullyConnected, Eltwise, Scale)):
            maximum = lower_bound(op.maximum, layer.relu_max)
            return layer.with_(name=op.name, source=op.source, relu=True, relu_max=maximum)
        return None
