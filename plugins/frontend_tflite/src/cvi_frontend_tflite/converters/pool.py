"""Pooling."""

from __future__ import annotations

from cvi import ops
from cvi.ops.windows import Pads, Pair
from cvi_frontend_tflite.fused import emit_activated
from cvi_frontend_tflite.node import Node
from cvi_frontend_tflite.registry import converts
from cvi_frontend_tflite.values import IMAGE, Value
from cvi_frontend_tflite.windows import stride_of, window_pads


@converts("AVERAGE_POOL_2D")
def average_pool(node: Node) -> Value:
    """The padding of SAME is not counted."""
    x, kernel, stride, pads = _window(node)
    op = ops.AvgPool2d(name=node.layer, kernel=kernel, stride=stride, pads=pads)
    return emit_activated(node, op, x, order=IMAGE)


@converts("MAX_POOL_2D")
def max_pool(node: Node) -> Value:
    x, kernel, stride, pads = _window(node)
    op = ops.MaxPool2d(name=node.layer, kernel=kernel, stride=stride, pads=pads)
    return emit_activated(node, op, x, order=IMAGE)


@converts("L2_POOL_2D")
def l2_pool(node: Node) -> Value:
    """The root of the mean of the squares."""
    x, kernel, stride, pads = _window(node)
    squares = node.emit(ops.Mul(name=node.helper("squares")), x, x, order=IMAGE)
    mean = ops.AvgPool2d(name=node.helper("mean"), kernel=kernel, stride=stride, pads=pads)
    pooled = node.emit(mean, squares, order=IMAGE)
    return emit_activated(node, ops.Sqrt(name=node.layer), pooled, order=IMAGE)


def _window(node: Node) -> tuple[Value, Pair, Pair, Pads]:
    x = node.image(node.operand(0))
    kernel = (node.option("FilterHeight", 1), node.option("FilterWidth", 1))
    stride = stride_of(node)
    pads = window_pads(node, (x.shape[1], x.shape[2]), kernel, stride, (1, 1))
    return x, kernel, stride, pads
