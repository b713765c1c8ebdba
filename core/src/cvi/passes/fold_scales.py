"""A scale behind a convolution belongs into its weights."""

from __future__ import annotations

import numpy as np

from cvi.ir import Array, Op
from cvi.ops import Conv2d, ConvTranspose2d, FullyConnected, Scale
from cvi.passes.base import RewritePass
from cvi.passes.edit import Edit, Replacement
from cvi.passes.operands import bias_of

Weighted = (Conv2d, ConvTranspose2d, FullyConnected)


class FoldScales(RewritePass):
    """A Scale whose operand is a Conv2d, ConvTranspose2d or FullyConnected without relu
    and without other users is multiplied into its weight and bias.

    Behind a FullyConnected of more than two dimensions only a uniform Scale fits, since
    channels are axis 1.
    """

    name = "fold-scales"
    requires = ("merge-scales",)

    def rewrite(self, op: Op, edit: Edit) -> Replacement:
        if not isinstance(op, Scale):
            return None
        layer = edit.single(op.inputs[0])
        if not isinstance(layer, Weighted) or layer.relu:
            return None
        weight, scale = edit.constant(layer.inputs[1]), edit.constant(op.inputs[1])
        bias, offset = bias_of(layer, edit), bias_of(op, edit)
        if weight is None or scale is None or bias is None or offset is None:
            return None
        outputs = layer.type.shape[-1 if isinstance(layer, FullyConnected) else 1]
        factors = _per_output(layer, scale.astype(np.float64), outputs)
        offsets = _per_output(layer, offset, outputs)
        if factors is None or offsets is None:
            return None
        w = edit.add_constant(f"{op.name}_weight", scaled_weight(layer, weight, factors))
        total = bias * factors + offsets
        b = edit.add_constant(f"{op.name}_bias", total) if np.any(total) else ""
        return layer.with_(
            name=op.name, source=op.source, inputs=(layer.inputs[0], w, b),
            relu=op.relu, relu_max=op.relu_max,
        )  # fmt: skip


def _per_output(layer: Op, values: Array, outputs: int) -> Array | None:
    """The values of axis 1 as one per output of the layer; None when they are not."""
    if isinstance(layer, FullyConnected) and len(layer.type.shape) != 2:
        if np.any(values != values[0]):
            return None
        values = values[:1]
    return np.broadcast_to(values, (outputs,))


def scaled_weight(layer: Op, weight: Array, factors: Array) -> Array:
    """The weight with every output multiplied by its factor (fp64)."""
    if not isinstance(layer, ConvTranspose2d):
        return np.asarray(weight * factors.reshape(-1, *(1,) * (weight.ndim - 1)))
    ic, ocg, kh, kw = weight.shape
    grouped = weight.reshape(layer.group, ic // layer.group, ocg, kh, kw)
    return np.asarray(grouped * factors.reshape(layer.group, 1, ocg, 1, 1)).reshape(weight.shape)
