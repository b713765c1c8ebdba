"""Matrix products."""

from __future__ import annotations

import math

import numpy as np

from cvi import ops
from cvi_frontend_caffe.layer import Layer
from cvi_frontend_caffe.registry import converts
from cvi_frontend_caffe.values import Value


@converts("InnerProduct")
def inner_product(layer: Layer) -> Value:
    """All dimensions from `axis` on times weights [N, K] ([K, N] when transposed)."""
    layer.bottoms(1, 1)
    params, x = layer.params("inner_product_param"), layer.bottom()
    axis = layer.axis(params.integer("axis"), x.rank)
    n, k = params.integer("num_output"), math.prod(x.shape[axis:])
    transposed = params.flag("transpose")
    stored = layer.filters(0, (k, n) if transposed else (n, k), k)
    weight = np.ascontiguousarray(stored.T) if transposed else stored
    flat = (*x.shape[:axis], k)
    if flat != x.shape:
        x = layer.emit(ops.Reshape(name=layer.helper("reshape"), shape=flat), x)
    bias = (layer.bias(1, n),) if params.flag("bias_term") else ()
    return layer.emit(ops.FullyConnected(name=layer.top_name(0)), x, weight, *bias)


@converts("MatMul")
def matmul(layer: Layer) -> Value:
    """a[…, dim_1, dim_2] times b[…, dim_2, dim_3]."""
    a, b = layer.bottoms(2, 2)
    params = layer.params("matmul_param")
    given = tuple(params.integer(f"dim_{i}") for i in (1, 2, 3))
    stated = any(params.has(f"dim_{i}") for i in (1, 2, 3))
    if min(a.rank, b.rank) < 2 or a.shape[-1] != b.shape[-2]:
        layer.broken(f"multiplies {a.shape} and {b.shape}")
    if stated and given != (a.shape[-2], a.shape[-1], b.shape[-1]):
        layer.refuse(f"multiplies other matrices than its bottoms hold: {given}")
    return layer.emit(ops.MatMul(name=layer.top_name(0)), a, b)


@converts("Embed")
def embed(layer: Layer) -> Value:
    """Rows of a table [input_dim, num_output] by their index."""
    params, x = layer.params("embed_param"), layer.bottom()
    n, rows = params.integer("num_output"), params.integer("input_dim")
    table = layer.filters(0, (rows, n), 1)
    if not params.flag("bias_term"):
        return layer.emit(ops.Embedding(name=layer.top_name(0)), x, table)
    return layer.emit(ops.Embedding(name=layer.top_name(0)), x, table + layer.bias(1, n))
