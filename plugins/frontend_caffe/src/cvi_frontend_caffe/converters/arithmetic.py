"""Arithmetic of a blob with constants or with other blobs."""

from __future__ import annotations

import numpy as np

from cvi import ops
from cvi.ir import Array, Op, Shape
from cvi_frontend_caffe.converters.affine import aligned, covered, per_channel
from cvi_frontend_caffe.layer import Layer
from cvi_frontend_caffe.registry import converts
from cvi_frontend_caffe.values import Value


@converts("Scale")
def scale(layer: Layer) -> Value:
    """x * factor (+ bias), the factor a constant or a second bottom."""
    params = layer.params("scale_param")
    x, *others = layer.bottoms(1, 2)
    axis, with_bias = params.integer("axis"), params.flag("bias_term")
    if others:
        params.ignore("num_axes")
        return _scaled_by_blob(layer, x, others[0], axis, with_bias)
    count = params.integer("num_axes")
    shape = covered(layer, x, axis, count)
    factor = layer.vector(0, shape, 1.0, 0.1)
    bias = layer.vector(1, shape, 0.0, 0.05) if with_bias else None
    name = layer.top_name(0)
    if per_channel(layer, x, axis, count):
        constants = [factor] if bias is None else [factor, bias]
        return layer.emit(ops.Scale(name=name), x, *constants)
    return _affine(layer, x, factor, bias, aligned(layer, shape, axis, x.rank))


def _affine(layer: Layer, x: Value, factor: Array, bias: Array | None, shape: Shape) -> Value:
    if bias is None:
        return layer.emit(ops.Mul(name=layer.top_name(0)), x, factor.reshape(shape))
    y = layer.emit(ops.Mul(name=layer.helper("product")), x, factor.reshape(shape))
    return layer.emit(ops.Add(name=layer.top_name(0)), y, bias.reshape(shape))


def _scaled_by_blob(layer: Layer, x: Value, by: Value, axis: int, with_bias: bool) -> Value:
    name = layer.helper("product") if with_bias else layer.top_name(0)
    factor = _spread(layer, by, aligned(layer, by.shape, axis, x.rank), x)
    y = layer.emit(ops.Mul(name=name), x, factor)
    if not with_bias:
        return y
    bias = layer.vector(0, by.shape, 0.0, 0.05)
    return layer.emit(ops.Add(name=layer.top_name(0)), y, bias.reshape(factor.shape))


def _spread(layer: Layer, value: Value, shape: Shape, x: Value) -> Value:
    """The second operand with the dimensions of the first, of the same size or 1 each."""
    fits = all(a in (b, 1) for a, b in zip(shape, x.shape, strict=True))
    if not fits:
        layer.broken(f"a blob of {_dims(value.shape)} does not fit one of {_dims(x.shape)}")
    if shape == value.shape:
        return value
    return layer.emit(ops.Reshape(name=layer.helper("reshape"), shape=shape), value)


@converts("Bias")
def bias(layer: Layer) -> Value:
    """x + bias, a constant or a second bottom."""
    params = layer.params("bias_param")
    x, *others = layer.bottoms(1, 2)
    axis, name = params.integer("axis"), layer.top_name(0)
    if others:
        params.ignore("num_axes")
        shape = aligned(layer, others[0].shape, axis, x.rank)
        return layer.emit(ops.Add(name=name), x, _spread(layer, others[0], shape, x))
    count = params.integer("num_axes")
    shape = covered(layer, x, axis, count)
    values = layer.vector(0, shape, 0.0, 0.05)
    if per_channel(layer, x, axis, count):
        return layer.emit(ops.Scale(name=name), x, np.ones(shape, np.float32), values)
    return layer.emit(ops.Add(name=name), x, values.reshape(aligned(layer, shape, axis, x.rank)))


@converts("Axpy")
def axpy(layer: Layer) -> Value:
    """factor * x + y: bottoms factor[n, c, …ones], x, y."""
    factor, x, y = layer.bottoms(3, 3)
    shape = aligned(layer, factor.shape, 0, x.rank)
    product = layer.emit(ops.Mul(name=layer.helper("product")), x, _spread(layer, factor, shape, x))
    return layer.emit(ops.Add(name=layer.top_name(0)), product, y)


@converts("Mul")
def mul(layer: Layer) -> Value:
    """The product of blobs, sizes of 1 repeated."""
    operands = _broadcastable(layer)
    return layer.emit(ops.Mul(name=layer.top_name(0)), *operands)


@converts("Eltwise")
def eltwise(layer: Layer) -> Value:
    """Product, weighted sum, maximum or minimum of blobs; sizes of 1 are repeated."""
    params = layer.params("eltwise_param")
    operands = _broadcastable(layer)
    name, method = layer.top_name(0), params.choice("operation")
    coefficients = params.numbers("coeff")
    if method != "SUM" and coefficients:
        layer.broken(f"has coefficients for {method}; only sums take them")
    if coefficients and len(coefficients) != len(operands):
        layer.broken(f"has {len(coefficients)} coefficients for {len(operands)} bottoms")
    if coefficients == (1.0, -1.0):
        return layer.emit(ops.Sub(name=name), *operands)
    op: Op
    if method == "SUM":
        plain = all(c == 1 for c in coefficients)
        op = ops.Add(name=name, coefficients=() if plain else coefficients)
    else:
        op = {"PROD": ops.Mul, "MAX": ops.Max, "MIN": ops.Min}[method](name=name)
    return layer.emit(op, *operands)


def _broadcastable(layer: Layer) -> list[Value]:
    operands = layer.bottoms(2)
    for sizes in zip(*(x.shape for x in operands), strict=False):
        if len({*sizes} - {1}) > 1 or len({x.rank for x in operands}) > 1:
            shapes = ", ".join(_dims(x.shape) for x in operands)
            layer.broken(f"its bottoms do not fit together: {shapes}")
    return operands


def _dims(shape: Shape) -> str:
    return "x".join(map(str, shape)) or "scalar"
