"""Normalisation over the elements of one sample: layer, group and root mean square."""

from __future__ import annotations

import numpy as np

from cvi import ops
from cvi.ir import Array, Shape
from cvi_frontend_onnx.node import Node
from cvi_frontend_onnx.registry import converts
from cvi_frontend_onnx.values import Value, as_fp32


@converts("LayerNormalization")
def layer_norm(node: Node) -> list[Value]:
    node.attributes.ignore("stash_type")  # the precision of the mean for 16-bit floats
    x = node.operand(0)
    axis = node.axis(node.attributes.integer("axis", -1), x.rank)
    op = ops.LayerNorm(name=node.layer, axis=axis, eps=node.attributes.number("epsilon", 1e-5))
    gamma = _factors(node, 1, "the scale", x.shape[axis:])
    y = node.emit(op, x, gamma, _factors(node, 2, "the bias", x.shape[axis:]))
    return [y, *_statistics(node, x, op)] if any(node.outputs[1:]) else [y]


def _statistics(node: Node, x: Value, op: ops.LayerNorm) -> list[Value]:
    """The outputs Mean and InvStdDev."""
    axes = tuple(range(op.axis, x.rank))
    mean = node.emit(ops.Reduce(name=f"{node.layer}_mean", method="mean", axes=axes), x)
    centred = node.emit(ops.Sub(name=node.helper("centred")), x, mean)
    square = node.emit(ops.Mul(name=node.helper("square")), centred, centred)
    var = node.emit(ops.Reduce(name=node.helper("var"), method="mean", axes=axes), square)
    above = node.emit(ops.Add(name=node.helper("eps")), var, np.full(1, op.eps, np.float32))
    root = node.emit(ops.Sqrt(name=node.helper("root")), above)
    inverse = node.emit(ops.Reciprocal(name=node.helper("inverse")), root)
    return [mean, inverse][: len(node.outputs) - 1]


def _factors(node: Node, index: int, what: str, shape: Shape) -> Value | None:
    """A constant operand that broadcasts to the normalised shape, None when it is absent."""
    array, given = node.optional_constant(index, what), node.optional(index)
    if array is None or given is None:
        return None
    return Value.of(np.broadcast_to(as_fp32(array), shape), given.name)


@converts("RMSNormalization")
def rms_norm(node: Node) -> Value:
    """x / sqrt(mean of squares + eps) * scale."""
    node.attributes.ignore("stash_type")
    x = node.operand(0)
    axis = node.axis(node.attributes.integer("axis", -1), x.rank)
    eps = np.full(1, node.attributes.number("epsilon", 1e-5), np.float32)
    square = node.emit(ops.Mul(name=node.helper("square")), x, x)
    axes = tuple(range(axis, x.rank))
    mean = node.emit(ops.Reduce(name=node.helper("mean"), method="mean", axes=axes), square)
    above = node.emit(ops.Add(name=node.helper("eps")), mean, eps)
    root = node.emit(ops.Sqrt(name=node.helper("root")), above)
    y = node.emit(ops.Div(name=node.helper("div")), x, root)
    return node.emit(ops.Mul(name=node.layer), y, node.operand(1))


@converts("GroupNormalization")
def group_norm(node: Node) -> Value:
    """Every group of channels by itself, then a factor and an offset per channel.

    Until opset 20 scale and bias had one value per group.
    """
    node.attributes.ignore("stash_type")
    x, groups = node.operand(0), node.attributes.integer("num_groups")
    if x.rank < 3 or groups < 1 or x.shape[1] % groups:
        node.broken(f"{groups} groups do not fit {x.shape}")
    eps = node.attributes.number("epsilon", 1e-5)
    rows = (x.shape[0], groups, x.elements // (x.shape[0] * groups))
    flat = node.emit(ops.Reshape(name=node.helper("groups"), shape=rows), x)
    y = node.emit(ops.LayerNorm(name=node.helper("norm"), axis=2, eps=eps), flat)
    y = node.emit(ops.Reshape(name=node.helper("channels"), shape=x.shape), y)
    scale, bias = (_per_channel(node, i, x, groups) for i in (1, 2))
    return node.emit(ops.Scale(name=node.layer), y, scale, bias)


def _per_channel(node: Node, index: int, x: Value, groups: int) -> Array:
    values, channels = as_fp32(node.constant(index, "scale and bias")).ravel(), x.shape[1]
    if len(values) == groups != channels and node.opset < 21:
        return np.repeat(values, channels // groups)
    if len(values) != channels:
        node.broken(f"has {len(values)} factors for {channels} channels")
    return values


@converts("MeanVarianceNormalization")
def mean_variance_norm(node: Node) -> Value:
    """Over the given axes, which are moved to the end for it."""
    x = node.operand(0)
    axes = node.axes(node.attributes.ints("axes", (0, 2, 3)), x.rank)
    kept = tuple(i for i in range(x.rank) if i not in axes)
    order = kept + axes
    last = node.emit(ops.Permute(name=node.helper("last"), order=order), x)
    norm = ops.LayerNorm(name=node.helper("norm"), axis=len(kept), eps=1e-9)
    back = tuple(int(i) for i in np.argsort(order))
    return node.emit(ops.Permute(name=node.layer, order=back), node.emit(norm, last))
