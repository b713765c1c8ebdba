"""Normalisations over channels: here dimension 1, in TFLite the last one."""

from __future__ import annotations

import numpy as np

from cvi import ops
from cvi_frontend_tflite.fused import emit_activated
from cvi_frontend_tflite.node import Node
from cvi_frontend_tflite.registry import converts
from cvi_frontend_tflite.values import IMAGE, Order, Value

_SHORTEST = 1e-6
_CHANNELS: dict[int, Order] = {2: (0, 1), 3: (0, 2, 1), 4: IMAGE}
"""By rank: the order in which the last dimension is the second one of the layer."""


@converts("L2_NORMALIZATION")
def l2_normalization(node: Node) -> Value:
    """x over its length along the last dimension.

    TFLite takes a length of at least 1e-6, here 1e-12 is added to the sum of the squares:
    the same for 0, and equal to six digits for vectors longer than 1e-3.
    """
    x = node.operand(0)
    if x.rank not in _CHANNELS:
        node.refuse(f"normalises a tensor of {x.rank} dimensions; 2 to 4 are supported")
    x = node.held(x, _CHANNELS[x.rank])
    op = ops.Normalize(name=node.layer, eps=_SHORTEST**2)
    return emit_activated(node, op, x, np.ones(x.shape[-1], np.float32), order=x.order)


@converts("LOCAL_RESPONSE_NORMALIZATION")
def local_response_normalization(node: Node) -> Value:
    """x / (bias + alpha * sum of squares over 2 * radius + 1 channels) ^ beta."""
    x = node.image(node.operand(0))
    size = 2 * node.option("Radius", 0) + 1
    op = ops.Lrn(
        name=node.layer,
        size=size,
        alpha=float(node.option("Alpha", 0.0)) * size,
        beta=float(node.option("Beta", 0.0)),
        k=float(node.option("Bias", 0.0)),
    )
    return node.emit(op, x, order=IMAGE)
