"""Normalisation, softmax and dropout."""

from __future__ import annotations

import math

from cvi import ops
from cvi_frontend_onnx.node import Node
from cvi_frontend_onnx.registry import converts
from cvi_frontend_onnx.values import Value


@converts("BatchNormalization")
def batch_norm(node: Node) -> Value:
    node.attributes.ignore("momentum")
    if node.attributes.flag("training_mode"):
        node.refuse("is in training mode; export the model in inference mode")
    if not node.attributes.flag("spatial", True):
        node.refuse("has one mean per element (spatial=0); only one per channel is supported")
    x = node.operand(0)
    if x.rank < 2:
        node.refuse(f"works on a tensor of {x.rank} dimensions")
    for index in range(1, 5):
        node.constant(index, "a parameter")
    op = ops.BatchNorm(name=node.layer, eps=node.attributes.number("epsilon", 1e-5))
    return node.emit(op, x, *(node.operand(i) for i in range(1, 5)))


@converts("Softmax", "LogSoftmax")
def softmax(node: Node) -> Value:
    """Along one axis since opset 13; before, over all dimensions from `axis` on."""
    x, log = node.operand(0), node.op_type == "LogSoftmax"
    axis = node.axis(node.attributes.integer("axis", -1 if node.opset >= 13 else 1), x.rank)
    if node.opset >= 13 or math.prod(x.shape[axis + 1 :]) == 1:
        return node.emit(ops.Softmax(name=node.layer, axis=axis, log=log), x)
    if math.prod(x.shape[axis:]) == x.shape[-1]:
        return node.emit(ops.Softmax(name=node.layer, axis=x.rank - 1, log=log), x)
    rows = (math.prod(x.shape[:axis]), math.prod(x.shape[axis:]))
    flat = node.emit(ops.Reshape(name=node.helper("flatten"), shape=rows), x)
    y = node.emit(ops.Softmax(name=node.helper("2d"), axis=1, log=log), flat)
    return node.emit(ops.Reshape(name=node.layer, shape=x.shape), y)


@converts("Dropout")
def dropout(node: Node) -> Value:
    """Nothing at inference."""
    node.attributes.ignore("ratio", "seed", "is_test")
    training = node.optional(2)
    if training is not None and (training.array is None or training.array.any()):
        node.refuse("is in training mode; export the model in inference mode")
    return node.operand(0)


@converts("Identity")
def identity(node: Node) -> Value:
    return node.operand(0)
