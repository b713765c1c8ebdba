"""Functions of one blob, element by element."""

from __future__ import annotations

import math

import numpy as np

from cvi import ops
from cvi_frontend_caffe.converters.affine import scaled
from cvi_frontend_caffe.layer import Layer
from cvi_frontend_caffe.registry import converts
from cvi_frontend_caffe.values import Value


@converts("ReLU")
def relu(layer: Layer) -> Value:
    """max(x, 0), or a slope below 0, or a bound at 6."""
    params = layer.params("relu_param")
    slope = params.number("negative_slope")
    if params.flag("relu6"):
        return _bounded(layer, slope)
    if slope:
        return layer.emit(ops.LeakyRelu(name=layer.top_name(0), slope=slope), layer.bottom())
    return layer.emit(ops.Relu(name=layer.top_name(0)), layer.bottom())


@converts("ReLU6")
def relu6(layer: Layer) -> Value:
    """min(max(x, 0), 6)."""
    return _bounded(layer, layer.params("relu6_param").number("negative_slope"))


def _bounded(layer: Layer, slope: float) -> Value:
    if slope:
        layer.refuse("has an upper bound of 6 and a negative slope")
    return layer.emit(ops.Relu(name=layer.top_name(0), maximum=6.0), layer.bottom())


@converts("PReLU")
def prelu(layer: Layer) -> Value:
    """One slope per channel, or one for all."""
    x = layer.bottom()
    shared = layer.params("prelu_param").flag("channel_shared")
    slope = layer.vector(0, (1 if shared else x.channels,), 0.25, 0.05)
    full = np.ascontiguousarray(np.broadcast_to(slope, (x.channels,)))
    return layer.emit(ops.PRelu(name=layer.top_name(0)), x, full)


@converts("ELU")
def elu(layer: Layer) -> Value:
    """x above 0, alpha * (exp(x) - 1) below."""
    alpha = layer.params("elu_param").number("alpha")
    return layer.emit(ops.Elu(name=layer.top_name(0), alpha=alpha), layer.bottom())


@converts("Sigmoid")
def sigmoid(layer: Layer) -> Value:
    """1 / (1 + exp(-x))."""
    return layer.emit(ops.Sigmoid(name=layer.top_name(0)), layer.bottom())


@converts("TanH")
def tanh(layer: Layer) -> Value:
    """The hyperbolic tangent."""
    return layer.emit(ops.Tanh(name=layer.top_name(0)), layer.bottom())


@converts("AbsVal")
def absval(layer: Layer) -> Value:
    """The absolute value."""
    return layer.emit(ops.Abs(name=layer.top_name(0)), layer.bottom())


@converts("BNLL")
def bnll(layer: Layer) -> Value:
    """log(1 + exp(x))."""
    return layer.emit(ops.Softplus(name=layer.top_name(0)), layer.bottom())


@converts("Mish")
def mish(layer: Layer) -> Value:
    """x * tanh(log(1 + exp(x)))."""
    return layer.emit(ops.Mish(name=layer.top_name(0)), layer.bottom())


@converts("HardSwish")
def hard_swish(layer: Layer) -> Value:
    """x * min(max(x + 3, 0), 6) / 6."""
    return layer.emit(ops.HardSwish(name=layer.top_name(0)), layer.bottom())


@converts("Swish")
def swish(layer: Layer) -> Value:
    """x * sigmoid(beta * x)."""
    x, beta = layer.bottom(), layer.params("swish_param").number("beta")
    if beta == 1:
        return layer.emit(ops.Swish(name=layer.top_name(0)), x)
    inner = scaled(layer, x, layer.helper("beta"), beta, 0.0)
    gate = layer.emit(ops.Sigmoid(name=layer.helper("gate")), inner)
    return layer.emit(ops.Mul(name=layer.top_name(0)), x, gate)


@converts("Clip")
def clip(layer: Layer) -> Value:
    """x limited to [min, max]."""
    params = layer.params("clip_param")
    least, most = params.number("min"), params.number("max")
    if not (params.has("min") and params.has("max")) or least > most:
        layer.broken("needs min and max, in this order of size")
    return layer.emit(ops.Clip(name=layer.top_name(0), minimum=least, maximum=most), layer.bottom())


@converts("Power")
def power(layer: Layer) -> Value:
    """(shift + scale * x) ^ power."""
    params = layer.params("power_param")
    scale, shift = params.number("scale"), params.number("shift")
    exponent, name = params.number("power"), layer.top_name(0)
    x = layer.bottom()
    if exponent == 1:
        return scaled(layer, x, name, scale, shift)
    if exponent == 0 or scale == 0:
        constant = 1.0 if exponent == 0 else shift**exponent
        return scaled(layer, x, name, 0.0, constant)
    if (scale, shift) != (1, 0):
        x = scaled(layer, x, layer.helper("scale"), scale, shift)
    return layer.emit(ops.Pow(name=name, exponent=exponent), x)


@converts("Exp")
def exp(layer: Layer) -> Value:
    """base ^ (shift + scale * x); base -1 stands for e."""
    params = layer.params("exp_param")
    factor = _log_of_base(layer, params.number("base"))
    scale, shift = params.number("scale") * factor, params.number("shift") * factor
    x = layer.bottom()
    if scale != 1:
        x = scaled(layer, x, layer.helper("scale"), scale, 0.0)
    try:
        outer = math.exp(shift)
    except OverflowError:
        layer.broken(f"has the shift {shift}")
    return layer.emit(ops.Exp(name=layer.top_name(0), scale=outer), x)


@converts("Log")
def log(layer: Layer) -> Value:
    """Logarithm to a base of shift + scale * x; base -1 stands for e."""
    params = layer.params("log_param")
    factor = _log_of_base(layer, params.number("base"))
    scale, shift = params.number("scale"), params.number("shift")
    x = layer.bottom()
    if (scale, shift) != (1, 0):
        x = scaled(layer, x, layer.helper("scale"), scale, shift)
    if factor == 1:
        return layer.emit(ops.Log(name=layer.top_name(0)), x)
    y = layer.emit(ops.Log(name=layer.helper("log")), x)
    return scaled(layer, y, layer.top_name(0), 1 / factor, 0.0)


def _log_of_base(layer: Layer, base: float) -> float:
    """Natural logarithm of a base."""
    if base == -1:
        return 1.0
    if base <= 0 or base == 1 or not math.isfinite(base):
        layer.broken(f"has the base {base}")
    return math.log(base)
