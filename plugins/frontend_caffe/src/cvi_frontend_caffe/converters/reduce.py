"""Reductions."""

from __future__ import annotations

import math

from cvi import ops
from cvi_frontend_caffe.converters.affine import scaled
from cvi_frontend_caffe.layer import Layer
from cvi_frontend_caffe.registry import converts
from cvi_frontend_caffe.values import Value


@converts("Reduction")
def reduction(layer: Layer) -> Value:
    """Sum, sum of absolutes or squares, or mean of all dimensions from `axis` on."""
    params, x = layer.params("reduction_param"), layer.bottom()
    axis = layer.axis(params.integer("axis"), x.rank)
    method, coeff = params.choice("operation"), params.number("coeff")
    if axis == 0:
        layer.refuse("reduces the batch too (axis 0)")
    if method == "ASUM":
        x = layer.emit(ops.Abs(name=layer.helper("abs")), x)
    elif method == "SUMSQ":
        x = layer.emit(ops.Mul(name=layer.helper("square")), x, x)
    name = layer.top_name(0)
    op = ops.Reduce(
        name=name if coeff == 1 else layer.helper("sum"),
        method="mean" if method == "MEAN" else "sum",
        axes=tuple(range(axis, x.rank)),
        keepdims=False,
    )
    y = layer.emit(op, x)
    return y if coeff == 1 else scaled(layer, y, name, coeff, 0.0)


@converts("ArgMax")
def argmax(layer: Layer) -> Value:
    """The index of the largest element along an axis, or of a whole image."""
    params, x = layer.params("argmax_param"), layer.bottom()
    if params.integer("top_k") != 1:
        layer.refuse(f"gives the {params.integer('top_k')} largest; only one is supported")
    maximum, name = params.flag("out_max_val"), layer.top_name(0)
    if params.has("axis"):
        axis = layer.axis(params.integer("axis"), x.rank)
        if maximum:
            return layer.emit(ops.Reduce(name=name, method="max", axes=(axis,)), x)
        return layer.emit(ops.ArgMax(name=name, axis=axis), x)
    if maximum:
        layer.refuse("gives both indices and values (out_max_val without axis)")
    rows = (x.shape[0], math.prod(x.shape[1:]))
    flat = layer.emit(ops.Reshape(name=layer.helper("flat"), shape=rows), x)
    index = layer.emit(ops.ArgMax(name=layer.helper("index"), axis=1), flat)
    return layer.emit(ops.Reshape(name=name, shape=(x.shape[0], 1, 1)), index)
