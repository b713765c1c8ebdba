"""Normalisation and softmax."""

from __future__ import annotations

import numpy as np

from cvi import ops
from cvi.ir import Array
from cvi_frontend_caffe.converters.affine import scaled
from cvi_frontend_caffe.converters.window import two_dimensional
from cvi_frontend_caffe.layer import Layer
from cvi_frontend_caffe.registry import converts
from cvi_frontend_caffe.values import Value

_SMALL = 1e-6


@converts("BatchNorm")
def batch_norm(layer: Layer) -> Value:
    """(x - mean) / sqrt(var + eps); the stored mean and var are divided by a third blob.

    A third blob of 0 makes both 0. Five blobs are those and factors and biases (NVIDIA's).
    """
    params, x = layer.params("batch_norm_param"), layer.bottom()
    params.ignore("use_weight_bias", "bias_term")
    if params.has("use_global_stats") and not params.flag("use_global_stats"):
        layer.refuse("normalises by the statistics of the batch (use_global_stats: false)")
    c, rms = (x.channels,), layer.rms[0]
    mean = layer.vector(0, c, 0.0, 0.1 * rms)
    variance = layer.vector(1, c, rms**2, 0.2 * rms**2)
    count = float(layer.vector(2, (1,), 1.0, 0.0)[0]) if layer.stored_blobs != 2 else 1.0
    factor = np.float32(0 if count == 0 else 1 / np.float32(count))
    gamma, beta = np.ones(c, np.float32), np.zeros(c, np.float32)
    if layer.stored_blobs == 5:
        gamma, beta = layer.vector(3, c, 1.0, 0.1), layer.vector(4, c, 0.0, 0.05)
    op = ops.BatchNorm(name=layer.top_name(0), eps=params.number("eps"))
    return layer.emit(op, x, gamma, beta, mean * factor, variance * factor)


@converts("BN")
def bn(layer: Layer) -> Value:
    """PSPNet's: slope, bias, mean and var. SegNet's, for inference: slope and bias."""
    params, x = layer.params("bn_param"), layer.bottom()
    folded = params.choice("bn_mode") == "INFERENCE"
    blobs = layer.stored_blobs or (2 if folded else 4)
    c, rms = (x.channels,), layer.rms[0]
    slope, bias = layer.vector(0, c, 1 / rms if folded else 1.0, 0.1), layer.bias(1, c[0])
    if blobs == 2 and folded:
        params.ignore("eps")
        return layer.emit(ops.Scale(name=layer.top_name(0)), x, slope, bias)
    if blobs == 2:
        layer.refuse("normalises by the statistics of the batch (bn_mode: LEARN)")
    mean = layer.vector(2, c, 0.0, 0.1 * rms)
    variance = layer.vector(3, c, rms**2, 0.2 * rms**2)
    op = ops.BatchNorm(name=layer.top_name(0), eps=params.number("eps"))
    return layer.emit(op, x, slope, bias, mean, variance)


@converts("Softmax")
def softmax(layer: Layer) -> Value:
    """exp(x) along an axis, divided by its sum."""
    x = layer.bottom()
    axis = layer.axis(layer.params("softmax_param").integer("axis"), x.rank)
    return layer.emit(ops.Softmax(name=layer.top_name(0), axis=axis), x)


@converts("LRN")
def lrn(layer: Layer) -> Value:
    """x / (k + alpha / size * sum of squares of neighbouring channels)^beta."""
    params, x = layer.params("lrn_param"), layer.bottom()
    size, alpha, beta = params.integer("local_size"), params.number("alpha"), params.number("beta")
    if size % 2 == 0:
        layer.broken(f"has the even local_size {size}")
    if params.choice("norm_region") == "WITHIN_CHANNEL":
        params.ignore("k")
        return _within_channel(layer, two_dimensional(layer, x), size, alpha, beta)
    k = params.number("k")
    op = ops.Lrn(name=layer.top_name(0), size=size, alpha=alpha, beta=beta, k=k)
    return layer.emit(op, x)


def _within_channel(layer: Layer, x: Value, size: int, alpha: float, beta: float) -> Value:
    """x * (1 + alpha * mean of the squares around a pixel)^-beta, zeros outside counted."""
    square = layer.emit(ops.Mul(name=layer.helper("square")), x, x)
    pads = (size // 2,) * 4
    pool = ops.AvgPool2d(
        name=layer.helper("mean"), kernel=(size, size), pads=pads, count_include_pad=True
    )
    mean = layer.emit(pool, square)
    base = scaled(layer, mean, layer.helper("base"), alpha, 1.0)
    factor = layer.emit(ops.Pow(name=layer.helper("factor"), exponent=-beta), base)
    return layer.emit(ops.Mul(name=layer.top_name(0)), x, factor)


@converts("Normalize")
def normalize(layer: Layer) -> Value:
    """x / norm * scale, the norm over the channels of a pixel or over the whole image."""
    params, x = layer.params("norm_param"), layer.bottom()
    shared = params.flag("channel_shared")
    scale = layer.vector(0, (1 if shared else x.channels,), 10.0, 1.0)
    op = ops.Normalize(
        name=layer.top_name(0),
        across_spatial=params.flag("across_spatial"),
        eps=params.number("eps"),
    )
    return layer.emit(op, x, _full(scale, x))


@converts("MVN")
def mvn(layer: Layer) -> Value:
    """x minus its mean, divided by its standard deviation: per channel or per image."""
    params, x = layer.params("mvn_param"), layer.bottom()
    if x.rank < 3:
        layer.refuse(f"normalises a blob of {x.rank} dimensions")
    together = params.flag("across_channels")
    eps, name = params.number("eps"), layer.top_name(0)
    if not params.flag("normalize_variance"):
        axes = tuple(range(1 if together else 2, x.rank))
        mean = layer.emit(ops.Reduce(name=layer.helper("mean"), method="mean", axes=axes), x)
        return layer.emit(ops.Sub(name=name), x, mean)
    if eps > _SMALL:
        layer.refuse(f"adds {eps:g} to the standard deviation; up to {_SMALL:g} is supported")
    flat = x
    if together:
        shape = (x.shape[0], 1, x.shape[1] * x.shape[2], *x.shape[3:])
        flat = layer.emit(ops.Reshape(name=layer.helper("flat"), shape=shape), x)
    op = ops.InstanceNorm(name=layer.helper("norm") if together else name, eps=eps**2)
    c = flat.channels
    y = layer.emit(op, flat, np.ones(c, np.float32), np.zeros(c, np.float32))
    return layer.emit(ops.Reshape(name=name, shape=x.shape), y) if together else y


def _full(values: Array, x: Value) -> Array:
    """One value per channel."""
    return np.ascontiguousarray(np.broadcast_to(values, (x.channels,)))
