"""Functions of one tensor, element by element: they work in any order of dimensions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cvi import ops
from cvi.ir import Array, Op
from cvi_frontend_tflite.node import Node
from cvi_frontend_tflite.registry import converts
from cvi_frontend_tflite.values import Value

_SIMPLE: dict[str, Callable[[str], Op]] = {
    "LOGISTIC": lambda name: ops.Sigmoid(name=name),
    "TANH": lambda name: ops.Tanh(name=name),
    "RELU": lambda name: ops.Relu(name=name),
    "RELU6": lambda name: ops.Relu(name=name, maximum=6.0),
    "RELU_0_TO_1": lambda name: ops.Relu(name=name, maximum=1.0),
    "RELU_N1_TO_1": lambda name: ops.Clip(name=name, minimum=-1.0, maximum=1.0),
    "ELU": lambda name: ops.Elu(name=name),
    "HARD_SWISH": lambda name: ops.HardSwish(name=name),
    "EXP": lambda name: ops.Exp(name=name),
    "LOG": lambda name: ops.Log(name=name),
    "SQRT": lambda name: ops.Sqrt(name=name),
    "RSQRT": lambda name: ops.Pow(name=name, exponent=-0.5),
    "SQUARE": lambda name: ops.Pow(name=name, exponent=2.0),
    "ABS": lambda name: ops.Abs(name=name),
    "NEG": lambda name: ops.Neg(name=name),
}


@converts(*_SIMPLE)
def simple(node: Node) -> Value:
    x = node.operand(0)
    if x.array is not None and not x.is_float:
        return _of_integers(node, x)
    return node.emit(_SIMPLE[node.name](node.layer), x, order=x.order)


def _of_integers(node: Node, x: Value) -> Value:
    functions: dict[str, Callable[..., object]] = {
        "NEG": np.negative,
        "ABS": np.abs,
        "SQUARE": np.square,
        "RELU": lambda array: np.maximum(array, 0),
    }
    if node.name not in functions:
        node.refuse(f"works on {x.dtype} constants")
    return node.fold(functions[node.name](x.array))


@converts("LEAKY_RELU")
def leaky_relu(node: Node) -> Value:
    x = node.operand(0)
    slope = float(node.option("Alpha", 0.0))
    return node.emit(ops.LeakyRelu(name=node.layer, slope=slope), x, order=x.order)


@converts("GELU")
def gelu(node: Node) -> Value:
    x = node.operand(0)
    op = ops.Gelu(name=node.layer, approximate=bool(node.option("Approximate", False)))
    return node.emit(op, x, order=x.order)


@converts("PRELU")
def prelu(node: Node) -> Value:
    """Slopes that differ by channel only are one PRelu; others max(x, 0) + slope * min(x, 0)."""
    x, slope = node.operand(0), node.constant(1, "the slopes")
    if np.broadcast_shapes(x.shape, slope.shape) != x.shape:
        node.broken(f"slopes {slope.shape} do not fit {x.shape}")
    if x.rank in (2, 4) and slope.size in (1, x.shape[-1]) and slope.size == slope.shape[-1:][0]:
        image = node.image(x) if x.rank == 4 else node.plain(x)
        slopes = np.broadcast_to(slope.ravel(), (x.shape[-1],)).copy()
        named = Value.of(slopes, node.operand(1).name)
        return node.emit(ops.PRelu(name=node.layer), image, named, order=image.order)
    return _prelu_of_elements(node, x, slope.reshape((1,) * (x.rank - slope.ndim) + slope.shape))


def _prelu_of_elements(node: Node, x: Value, slope: Array) -> Value:
    zero = np.zeros((1,) * x.rank, np.float32)
    negative = node.emit(ops.Min(name=node.helper("negative")), x, zero, order=x.order)
    turned = slope.transpose(x.order)
    scaled = node.emit(ops.Mul(name=node.helper("scaled")), negative, turned, order=x.order)
    positive = node.emit(ops.Relu(name=node.helper("positive")), x, order=x.order)
    return node.emit(ops.Add(name=node.layer), positive, scaled, order=x.order)


@converts("SOFTMAX", "LOG_SOFTMAX")
def softmax(node: Node) -> Value:
    """Over the last dimension; beta scales the operand first."""
    x = node.operand(0)
    if not x.rank:
        node.broken("softmax of a scalar")
    beta = float(node.option("Beta", 0.0)) if node.name == "SOFTMAX" else 1.0
    if beta != 1.0:
        factor = np.full((1,) * x.rank, beta, np.float32)
        x = node.emit(ops.Mul(name=node.helper("beta")), x, factor, order=x.order)
    axis = x.order.index(x.rank - 1)
    op = ops.Softmax(name=node.layer, axis=axis, log=node.name == "LOG_SOFTMAX")
    return node.emit(op, x, order=x.order)


@converts("QUANTIZE", "DEQUANTIZE")
def same_numbers(node: Node) -> Value:
    """The real numbers stay the same; only how they are stored changes."""
    x = node.operand(0)
    if not x.is_float:
        node.refuse(f"reads {x.dtype} without a scale")
    return x
