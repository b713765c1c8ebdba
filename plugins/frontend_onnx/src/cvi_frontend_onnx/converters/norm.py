"""Normalisation, softmax and dropout."""

from __future__ import annotations

import math

import numpy as np

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


@converts("LRN")
def lrn(node: Node) -> Value:
    read = node.attributes
    op = ops.Lrn(
        name=node.layer,
        size=read.integer("size"),
        alpha=read.number("alpha", 1e-4),
        beta=read.number("beta", 0.75),
        k=read.number("bias", 1.0),
    )
    return node.emit(op, node.operand(0))


@converts("InstanceNormalization")
def instance_norm(node: Node) -> Value:
    x = node.operand(0)
    if x.rank < 3:
        node.refuse(f"works on a tensor of {x.rank} dimensions")
    for index in (1, 2):
        node.constant(index, "a parameter")
    op = ops.InstanceNorm(name=node.layer, eps=node.attributes.number("epsilon", 1e-5))
    return node.emit(op, x, node.operand(1), node.operand(2))


_EPS = 1e-24
"""Below the square of whatever fp32 data mean: nothing is divided by zero."""


@converts("LpNormalization")
def lp_normalization(node: Node) -> Value:
    """Division by the sum of absolute values, or by the root of the sum of squares, which
    Normalize does along axis 1."""
    x, p = node.operand(0), node.attributes.integer("p", 2)
    axis = node.axis(node.attributes.integer("axis", -1), x.rank)
    if p not in (1, 2):
        node.broken(f"p is {p}, neither 1 nor 2")
    if p == 1:
        size = node.emit(ops.Abs(name=node.helper("abs")), x)
        total = ops.Reduce(name=node.helper("sum"), method="sum", axes=(axis,))
        return node.emit(ops.Div(name=node.layer), x, node.emit(total, size))
    if x.rank == 1:
        row = node.emit(ops.Reshape(name=node.helper("row"), shape=(1, *x.shape)), x)
        return node.emit(ops.Reshape(name=node.layer, shape=x.shape), _unit(node, "2d", row))
    if axis == 1:
        return _unit(node, "", x)
    order = list(range(x.rank))
    order[1], order[axis] = axis, 1
    swap = tuple(order)
    turned = node.emit(ops.Permute(name=node.helper("turned"), order=swap), x)
    return node.emit(ops.Permute(name=node.layer, order=swap), _unit(node, "unit", turned))


def _unit(node: Node, suffix: str, x: Value) -> Value:
    """x divided by the norm along axis 1."""
    name = node.helper(suffix) if suffix else node.layer
    return node.emit(ops.Normalize(name=name, eps=_EPS), x, np.ones(x.shape[1], np.float32))


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
