"""Matrix products."""

from __future__ import annotations

from cvi import ops
from cvi.ir import Array, Shape
from cvi_frontend_tflite.converters.conv import bias
from cvi_frontend_tflite.fused import emit_activated
from cvi_frontend_tflite.node import Node
from cvi_frontend_tflite.registry import converts
from cvi_frontend_tflite.values import IMAGE, Value

_SHUFFLED = 1


@converts("FULLY_CONNECTED")
def fully_connected(node: Node) -> Value:
    """Operands x, weights [n, k], bias. Without keep_num_dims x is seen as [-1, k]."""
    if node.option("WeightsFormat", 0) == _SHUFFLED:
        node.refuse("has its weights shuffled for one kind of processor")
    x, weights = node.operand(0), node.operand(1)
    if weights.rank != 2:
        node.broken(f"weights of {weights.rank} dimensions")
    if not node.option("KeepNumDims", False):
        x = node.reshaped(x, _rows(node, x, weights.shape[1]), node.helper("rows"))
    if weights.array is None:
        return _computed_weights(node, x, weights)
    if x.rank == 4 and x.order == IMAGE:
        return _pointwise(node, x, weights.array)
    op = ops.FullyConnected(name=node.layer)
    return emit_activated(node, op, node.plain(x), weights, bias(node, 2))


def _rows(node: Node, x: Value, depth: int) -> Shape:
    if not depth or x.elements % depth:
        node.broken(f"{x.shape} does not divide into rows of {depth}")
    return x.elements // depth, depth


def _pointwise(node: Node, x: Value, weights: Array) -> Value:
    """On an image, a convolution of single pixels."""
    weight = Value.of(weights.reshape(*weights.shape, 1, 1), node.operand(1).name)
    op = ops.Conv2d(name=node.layer)
    return emit_activated(node, op, x, weight, bias(node, 2), order=IMAGE)


def _computed_weights(node: Node, x: Value, weights: Value) -> Value:
    columns, offset = node.plain(weights.transposed((1, 0))), bias(node, 2)
    if offset is None:
        return emit_activated(node, ops.MatMul(name=node.layer), node.plain(x), columns)
    product = node.emit(ops.MatMul(name=node.helper("product")), node.plain(x), columns)
    return emit_activated(node, ops.Add(name=node.layer), product, offset)


@converts("BATCH_MATMUL")
def batch_matmul(node: Node) -> Value:
    a, b = node.operand(0), node.operand(1)
    if min(a.rank, b.rank) < 2:
        node.broken("multiplies tensors of less than 2 dimensions")
    a = _adjoint(a) if node.option("AdjX", False) else a
    b = _adjoint(b) if node.option("AdjY", False) else b
    if b.array is not None and b.rank == 2:
        weight = Value.of(b.array.T, b.name)
        return node.emit(ops.FullyConnected(name=node.layer), node.plain(a), weight)
    return node.emit(ops.MatMul(name=node.layer), node.plain(a), node.plain(b))


def _adjoint(x: Value) -> Value:
    """The last two dimensions exchanged."""
    return x.transposed((*range(x.rank - 2), x.rank - 1, x.rank - 2))
