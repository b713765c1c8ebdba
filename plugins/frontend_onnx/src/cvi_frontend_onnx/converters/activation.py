"""Functions of one tensor."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cvi import ops
from cvi.ir import Array, Op
from cvi_frontend_onnx.node import Node
from cvi_frontend_onnx.registry import converts
from cvi_frontend_onnx.values import Value, as_fp32

LOWEST, HIGHEST = float(np.finfo(np.float32).min), float(np.finfo(np.float32).max)

_PLAIN: dict[str, Callable[..., Op]] = {
    "Relu": ops.Relu,
    "Sigmoid": ops.Sigmoid,
    "Tanh": ops.Tanh,
    "HardSwish": ops.HardSwish,
    "Softplus": ops.Softplus,
    "Mish": ops.Mish,
    "Erf": ops.Erf,
}


@converts(*_PLAIN)
def plain(node: Node) -> Value:
    return node.emit(_PLAIN[node.op_type](name=node.layer), node.operand(0))


@converts("LeakyRelu")
def leaky_relu(node: Node) -> Value:
    slope = node.attributes.number("alpha", 0.01)
    return node.emit(ops.LeakyRelu(name=node.layer, slope=slope), node.operand(0))


@converts("Elu")
def elu(node: Node) -> Value:
    alpha = node.attributes.number("alpha", 1.0)
    return node.emit(ops.Elu(name=node.layer, alpha=alpha), node.operand(0))


@converts("Selu")
def selu(node: Node) -> Value:
    """gamma * elu(x, alpha)."""
    alpha = node.attributes.number("alpha", 1.67326319217681884765625)
    gamma = node.attributes.number("gamma", 1.05070102214813232421875)
    y = node.emit(ops.Elu(name=node.helper("elu"), alpha=alpha), node.operand(0))
    return node.emit(ops.Mul(name=node.layer), y, np.full(1, gamma, np.float32))


@converts("Celu")
def celu(node: Node) -> Value:
    """alpha * elu(x / alpha, 1)."""
    alpha = np.full(1, node.attributes.number("alpha", 1.0), np.float32)
    if not alpha[0] > 0:
        node.refuse(f"alpha is {alpha[0]}; only positive values are supported")
    x = node.emit(ops.Mul(name=node.helper("scale")), node.operand(0), 1 / alpha)
    y = node.emit(ops.Elu(name=node.helper("elu")), x)
    return node.emit(ops.Mul(name=node.layer), y, alpha)


@converts("HardSigmoid")
def hard_sigmoid(node: Node) -> Value:
    alpha = node.attributes.number("alpha", 0.2)
    beta = node.attributes.number("beta", 0.5)
    op = ops.HardSigmoid(name=node.layer, alpha=alpha, beta=beta)
    return node.emit(op, node.operand(0))


@converts("Softsign")
def softsign(node: Node) -> Value:
    """x / (1 + |x|)."""
    x = node.operand(0)
    size = node.emit(ops.Abs(name=node.helper("abs")), x)
    below = node.emit(ops.Add(name=node.helper("add")), size, np.ones(1, np.float32))
    return node.emit(ops.Div(name=node.layer), x, below)


@converts("Gelu")
def gelu(node: Node) -> Value:
    form = node.attributes.string("approximate", "none")
    if form not in ("none", "tanh"):
        node.broken(f"approximate is {form!r}")
    return node.emit(ops.Gelu(name=node.layer, approximate=form == "tanh"), node.operand(0))


@converts("Swish")
def swish(node: Node) -> Value:
    """x * sigmoid(alpha * x)."""
    x, alpha = node.operand(0), node.attributes.number("alpha", 1.0)
    if alpha == 1.0:
        return node.emit(ops.Swish(name=node.layer), x)
    scaled = node.emit(ops.Mul(name=node.helper("scale")), x, np.full(1, alpha, np.float32))
    gate = node.emit(ops.Sigmoid(name=node.helper("sigmoid")), scaled)
    return node.emit(ops.Mul(name=node.layer), x, gate)


@converts("PRelu")
def prelu(node: Node) -> Value:
    x, slope = node.operand(0), as_fp32(node.constant(1, "the slope"))
    per_channel = _per_channel(slope, x)
    if per_channel is not None:
        return node.emit(ops.PRelu(name=node.layer), x, per_channel)
    zero = np.zeros(1, np.float32)
    above = node.emit(ops.Relu(name=node.helper("relu")), x)
    below = node.emit(ops.Min(name=node.helper("min")), x, zero)
    sloped = node.emit(ops.Mul(name=node.helper("mul")), below, slope)
    return node.emit(ops.Add(name=node.layer), above, sloped)


def _per_channel(slope: Array, x: Value) -> Array | None:
    """The slope as one value per channel (axis 1), None when it varies otherwise."""
    if x.rank < 2:
        return None
    channels = x.shape[1]
    if slope.size == 1:
        return np.full(channels, slope.ravel()[0], np.float32)
    aligned = (1,) * (x.rank - slope.ndim) + slope.shape
    only_channels = all(size == 1 for axis, size in enumerate(aligned) if axis != 1)
    return slope.reshape(-1) if only_channels and aligned[1] == channels else None


@converts("Clip")
def clip(node: Node) -> Value:
    """Limits are attributes up to opset 6 … 10, then optional operands."""
    if node.opset < 11:
        low = node.attributes.number("min", LOWEST)
        high = node.attributes.number("max", HIGHEST)
    else:
        low = _limit(node, 1, LOWEST)
        high = _limit(node, 2, HIGHEST)
    x = node.operand(0)
    if x.array is not None:
        dtype = x.array.dtype
        return node.fold(
            np.clip(x.array, low, high).astype(dtype)
            if x.is_float
            else (_clip_integers(node, x.array))
        )
    if low == 0 and high == HIGHEST:
        return node.emit(ops.Relu(name=node.layer), x)
    return node.emit(ops.Clip(name=node.layer, minimum=min(low, high), maximum=high), x)


def _limit(node: Node, index: int, default: float) -> float:
    array = node.optional_constant(index, "a limit")
    if array is None:
        return default
    if array.size != 1:
        node.broken("a limit is not a scalar")
    return float(np.clip(as_fp32(array).ravel()[0], LOWEST, HIGHEST))


def _clip_integers(node: Node, x: Array) -> Array:
    low, high = node.optional_constant(1, "a limit"), node.optional_constant(2, "a limit")
    x = x if low is None else np.maximum(x, low)
    return x if high is None else np.minimum(x, high)
