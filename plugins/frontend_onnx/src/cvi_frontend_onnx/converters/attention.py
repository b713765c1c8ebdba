"""Scaled dot-product attention, as PyTorch exports it since opset 23."""

from __future__ import annotations

import math

import numpy as np

from cvi import ops
from cvi.ir import Array
from cvi_frontend_onnx.converters.matrix import product
from cvi_frontend_onnx.node import Node
from cvi_frontend_onnx.registry import converts
from cvi_frontend_onnx.values import Value


@converts("Attention")
def attention(node: Node) -> Value:
    """softmax(scale * Q @ K' + mask) @ V, heads as a dimension.

    Operands are [N, heads, L, E], or [N, L, heads * E] with the number of heads as attributes.
    """
    _refuse_caches(node)
    q, k, v = (_heads(node, i, kind) for i, kind in enumerate("qkv"))
    k, v = _repeated(node, q, k, "k"), _repeated(node, q, v, "v")
    scores = _scores(node, q, k)
    cap = node.attributes.number("softcap", 0.0)
    if cap:
        inner = node.emit(ops.Mul(name=node.helper("capped")), scores, _one(1 / cap))
        soft = node.emit(ops.Tanh(name=node.helper("tanh")), inner)
        scores = node.emit(ops.Mul(name=node.helper("softcap")), soft, _one(cap))
    scores = _masked(node, scores)
    share = node.emit(ops.Softmax(name=node.helper("softmax"), axis=3), scores)
    whole = node.operand(0).rank == 4
    y = product(node, share, v, node.layer if whole else node.helper("heads"))
    return y if whole else _joined(node, y)


def _refuse_caches(node: Node) -> None:
    node.attributes.ignore("softmax_precision")
    if any(node.optional(i) is not None for i in (4, 5, 6)):
        node.refuse("keeps keys and values of earlier tokens")
    if node.attributes.integer("qk_matmul_output_mode", 0) and len(node.outputs) > 3:
        node.refuse("gives out its scores")


def _one(value: float) -> Array:
    return np.full(1, value, np.float32)


def _heads(node: Node, index: int, kind: str) -> Value:
    """Q, K or V as [N, heads, L, E]."""
    x = node.operand(index)
    count = node.attributes.integer("q_num_heads" if kind == "q" else "kv_num_heads", 0)
    if x.rank == 4:
        return x
    if x.rank != 3 or count < 1 or x.shape[2] % count:
        node.broken(f"{count} heads do not fit {x.shape}")
    shape = (*x.shape[:2], count, x.shape[2] // count)
    split = node.emit(ops.Reshape(name=node.helper(f"{kind}_split"), shape=shape), x)
    return node.emit(ops.Permute(name=node.helper(f"{kind}_heads"), order=(0, 2, 1, 3)), split)


def _repeated(node: Node, q: Value, x: Value, kind: str) -> Value:
    """Keys or values once per head of the queries that share them."""
    n, heads, length, width = x.shape
    if heads == q.shape[1]:
        return x
    if q.shape[1] % heads:
        node.broken(f"{q.shape[1]} heads of queries share {heads} heads of keys")
    group = q.shape[1] // heads
    flat = (n * heads, 1, length, width)
    single = node.emit(ops.Reshape(name=node.helper(f"{kind}_single"), shape=flat), x)
    tiled = node.emit(ops.Tile(name=node.helper(f"{kind}_tiled"), repeats=(1, group, 1, 1)), single)
    shape = (n, heads * group, length, width)
    return node.emit(ops.Reshape(name=node.helper(f"{kind}_shared"), shape=shape), tiled)


def _scores(node: Node, q: Value, k: Value) -> Value:
    scale = node.attributes.number("scale", 1 / math.sqrt(q.shape[3]))
    scaled = node.emit(ops.Mul(name=node.helper("scale")), q, _one(scale))
    turned = node.emit(ops.Permute(name=node.helper("k_turned"), order=(0, 1, 3, 2)), k)
    return product(node, scaled, turned, node.helper("scores"))


def _masked(node: Node, scores: Value) -> Value:
    """The scores plus minus infinity where a boolean mask forbids, or plus a mask of numbers."""
    mask, allowed = node.optional(3), np.ones((1, 1), bool)
    if node.attributes.flag("is_causal"):
        rows, columns = scores.shape[2:]
        node.will_compute((rows, columns))
        allowed = np.tri(rows, columns, dtype=bool)
    if mask is not None and mask.dtype.kind == "b":
        allowed, mask = allowed & node.constant(3, "a boolean mask"), None
    if not allowed.any(axis=-1).all():
        node.refuse("has a query that may not look at any key")
    if not allowed.all():
        forbidden = np.asarray(np.where(allowed, np.float32(0), np.float32(-np.inf)))
        scores = node.emit(ops.Add(name=node.helper("allowed")), scores, forbidden)
    if mask is None:
        return scores
    return node.emit(ops.Add(name=node.helper("mask")), scores, mask)


def _joined(node: Node, y: Value) -> Value:
    """[N, heads, L, E] as [N, L, heads * E]."""
    n, heads, length, width = y.shape
    moved = node.emit(ops.Permute(name=node.helper("join"), order=(0, 2, 1, 3)), y)
    return node.emit(ops.Reshape(name=node.layer, shape=(n, length, heads * width)), moved)
