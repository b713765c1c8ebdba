"""Matrix products. Products with a constant become fully connected layers."""

from __future__ import annotations

import numpy as np

from cvi import ops
from cvi.ir import Array
from cvi_frontend_onnx.node import Node
from cvi_frontend_onnx.registry import converts
from cvi_frontend_onnx.values import Value, as_fp32


@converts("Gemm")
def gemm(node: Node) -> Value:
    """alpha * A' * B' + beta * C."""
    alpha = np.float32(node.attributes.number("alpha", 1.0))
    beta = np.float32(node.attributes.number("beta", 1.0))
    a, b, c = node.operand(0), node.operand(1), node.optional(2)
    if a.rank != 2 or b.rank != 2:
        node.broken(f"multiplies tensors of {a.rank} and {b.rank} dimensions")
    trans_b = node.attributes.flag("transB")
    a = _transposed(node, a, "transA") if node.attributes.flag("transA") else a
    if b.array is None:
        return _general(node, a, _transposed(node, b, "transB") if trans_b else b, c, alpha, beta)
    weight = as_fp32(b.array) if trans_b else as_fp32(b.array).T
    bias = _bias(c, weight.shape[0], beta)
    scaled = weight if alpha == 1 else weight * alpha
    kernel = Value.of(scaled, b.name)
    if c is None or bias is not None:
        op = ops.FullyConnected(name=node.layer)
        return node.emit(
            op, a, kernel, None if c is None or bias is None else Value.of(bias, c.name)
        )
    product = node.emit(ops.FullyConnected(name=node.helper("product")), a, kernel)
    return _add(node, product, c, beta)


def _transposed(node: Node, x: Value, suffix: str) -> Value:
    return node.emit(ops.Permute(name=node.helper(suffix), order=(1, 0)), x)


def _bias(c: Value | None, n: int, beta: np.float32) -> Array | None:
    """C as one constant per column, None when it is not."""
    if c is None or c.array is None or (c.rank == 2 and c.shape[0] != 1):
        return None
    return np.broadcast_to(as_fp32(c.array) * beta, (1, n)).reshape(n)


def _general(
    node: Node, a: Value, b: Value, c: Value | None, alpha: np.float32, beta: np.float32
) -> Value:
    plain = c is None
    y = product(node, a, b, node.layer if plain and alpha == 1 else node.helper("product"))
    if alpha != 1:
        name = node.layer if plain else node.helper("alpha")
        y = node.emit(ops.Mul(name=name), y, np.full(1, alpha, np.float32))
    return y if c is None else _add(node, y, c, beta)


def _add(node: Node, product: Value, c: Value, beta: np.float32) -> Value:
    if beta != 1:
        c = node.emit(ops.Mul(name=node.helper("beta")), c, np.full(1, beta, np.float32))
    return node.emit(ops.Add(name=node.layer), product, c)


@converts("MatMul")
def matmul(node: Node) -> Value:
    a, b = node.operand(0), node.operand(1)
    if not a.rank or not b.rank:
        node.broken("multiplies a scalar")
    if node.is_constant and not (a.is_float and b.is_float):
        x, y = node.arrays()
        node.will_compute(ops.MatMul(name=node.layer).infer([a.type, b.type]).shape)
        return node.fold(np.matmul(x, y))
    return product(node, a, b, node.layer)


def product(node: Node, a: Value, b: Value, name: str) -> Value:
    """a @ b in the cheapest form; a constant becomes the weight of a fully connected layer."""
    if b.array is not None and a.array is None and b.elements == b.shape[-1] * b.shape[-2:][0]:
        if b.rank == 1:
            return _vector(node, a, b, name)
        if b.rank <= max(a.rank, 2):
            weight = Value.of(as_fp32(b.array).reshape(b.shape[-2:]).T, b.name)
            return node.emit(ops.FullyConnected(name=name), a, weight)
    if a.array is not None and b.array is None and a.rank == 2 and b.rank >= 2:
        return _constant_first(node, a, b, name)
    return node.emit(ops.MatMul(name=name), a, b)


def _vector(node: Node, a: Value, b: Value, name: str) -> Value:
    """a[..., K] @ b[K]."""
    weight = Value.of(as_fp32(b.array).reshape(1, -1), b.name) if b.array is not None else b
    y = node.emit(ops.FullyConnected(name=node.helper("product")), a, weight)
    return node.emit(ops.Reshape(name=name, shape=y.shape[:-1]), y)


def _constant_first(node: Node, a: Value, b: Value, name: str) -> Value:
    """a[M, K] @ b[..., K, N] as the transpose of (b transposed) times (a transposed)."""
    swap = (*range(b.rank - 2), b.rank - 1, b.rank - 2)
    turned = node.emit(ops.Permute(name=node.helper("turned"), order=swap), b)
    y = node.emit(ops.FullyConnected(name=node.helper("product")), turned, a)
    return node.emit(ops.Permute(name=name, order=swap), y)
