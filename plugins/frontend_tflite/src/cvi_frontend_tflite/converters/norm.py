"""Normalisations."""

from __future__ import annotations

import numpy as np

from cvi import ops
from cvi_frontend_tflite.fused import emit_activated
from cvi_frontend_tflite.node import Node
from cvi_frontend_tflite.registry import converts
from cvi_frontend_tflite.values import Value

_SHORTEST = 1e-6


@converts("L2_NORMALIZATION")
def l2_normalization(node: Node) -> Value:
    """x over its length along the last dimension, which counts as 1e-6 at least."""
    x = node.operand(0)
    if not x.rank:
        node.broken("normalises a scalar")
    axis = x.order.index(x.rank - 1)
    norm = ops.Reduce(name=node.helper("norm"), method="l2", axes=(axis,))
    length = node.emit(norm, x, order=x.order)
    least = np.full((1,) * x.rank, _SHORTEST, np.float32)
    bounded = node.emit(ops.Max(name=node.helper("bounded")), length, least, order=x.order)
    return emit_activated(node, ops.Div(name=node.layer), x, bounded, order=x.order)
