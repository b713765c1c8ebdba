"""Functions of one tensor that have no file of their own: trigonometry, rounding, thresholds."""

from __future__ import annotations

import numpy as np

from cvi import ops
from cvi.ir import Array
from cvi.ops.functions import FUNCTIONS
from cvi_frontend_onnx.node import Node
from cvi_frontend_onnx.registry import converts
from cvi_frontend_onnx.values import Value


@converts(*(which.capitalize() for which in FUNCTIONS))
def elementary(node: Node) -> Value:
    """The types of whole numbers stay what they are."""
    x, which = node.operand(0), node.op_type.lower()
    if x.array is not None:
        with np.errstate(all="ignore"):
            return node.fold(np.asarray(FUNCTIONS[which](x.array)).astype(x.array.dtype))
    return node.emit(ops.Elementary(name=node.layer, which=which), x)


@converts("Shrink")
def shrink(node: Node) -> Value:
    threshold, bias = node.attributes.number("lambd", 0.5), node.attributes.number("bias", 0.0)
    x = node.operand(0)
    if not x.is_float:
        node.refuse(f"on data of type {x.dtype}; only floats are supported")
    return node.emit(ops.Shrink(name=node.layer, threshold=threshold, bias=bias), x)


@converts("ThresholdedRelu")
def thresholded_relu(node: Node) -> Value:
    threshold = node.attributes.number("alpha", 1.0)
    return node.emit(ops.ThresholdedRelu(name=node.layer, threshold=threshold), node.operand(0))


@converts("CumSum")
def cumulative_sum(node: Node) -> Value:
    """On data: the product with a matrix of ones and zeros along the axis."""
    from cvi_frontend_onnx.constants import evaluate_node

    x = node.operand(0)
    if node.is_constant:
        return node.fold(evaluate_node(node, node.arrays())[0])
    (axis,) = node.integers(1, "the axis")
    axis = node.axis(axis, x.rank)
    strict, backwards = node.attributes.flag("exclusive"), node.attributes.flag("reverse")
    length = x.shape[axis]
    node.will_compute((length, length))
    taken = np.tri(length, k=-1 if strict else 0, dtype=np.float32)
    return along(node, x, axis, taken[::-1, ::-1] if backwards else taken)


def along(node: Node, x: Value, axis: int, matrix: Array) -> Value:
    """The node's result: matrix[size, length] times x along one axis."""
    weight = np.ascontiguousarray(matrix, np.float32)
    if axis == x.rank - 1:
        return node.emit(ops.FullyConnected(name=node.layer), x, weight)
    swap = [*range(x.rank)]
    swap[axis], swap[-1] = swap[-1], swap[axis]
    order = tuple(swap)
    turned = node.emit(ops.Permute(name=node.helper(f"axis{axis}"), order=order), x)
    product = node.emit(ops.FullyConnected(name=node.helper("product")), turned, weight)
    return node.emit(ops.Permute(name=node.layer, order=order), product)
