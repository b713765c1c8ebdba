"""Pooling."""

from __future__ import annotations

from collections.abc import Sequence

from cvi import ops
from cvi.ops.windows import Pads, Pair
from cvi_frontend_caffe.converters.window import Window, read_window, two_dimensional
from cvi_frontend_caffe.layer import Layer
from cvi_frontend_caffe.params import Params
from cvi_frontend_caffe.registry import converts
from cvi_frontend_caffe.values import Value

_EXCLUDING = "AVE_EXC_PAD"


@converts("Pooling")
def pooling(layer: Layer) -> Value | Sequence[Value]:
    """Maximum or mean; a second top has the places of the maxima."""
    layer.bottoms(1, 1)
    params = layer.params("pooling_param")
    x = two_dimensional(layer, layer.bottom())
    method = params.choice("pool")
    if method == "STOCHASTIC":
        layer.refuse("pools at random (STOCHASTIC)")
    window = _whole(layer, params, x) if params.flag("global_pooling") else _window(layer, params)
    pads, extra = _grown(layer, params, window, x)
    name = layer.top_name(0)
    if method == "MAX":
        kernel, stride = window.kernel, window.stride
        params.ignore("avg_include_pad")
        y = layer.emit(ops.MaxPool2d(name=name, kernel=kernel, stride=stride, pads=pads), x)
        return y if len(layer.tops) < 2 else [y, _mask(layer, window, x)]
    counted = params.flag("avg_include_pad") and method != _EXCLUDING
    op = ops.AvgPool2d(
        name=name,
        kernel=window.kernel,
        stride=window.stride,
        pads=pads,
        ceil_pads=extra,
        count_include_pad=counted,
    )
    return layer.emit(op, x)


def _window(layer: Layer, params: Params) -> Window:
    window = read_window(layer, params)
    if params.flag("yolo") and window.stride == (1, 1):
        top, left, bottom, right = window.pads
        return Window(window.kernel, window.stride, (top, left, bottom + 1, right + 1), (1, 1))
    return window


def _whole(layer: Layer, params: Params, x: Value) -> Window:
    params.ignore("kernel_size", "kernel_h", "kernel_w", "ceil_mode", "round_mode", "yolo")
    names = ("pad", "pad_h", "pad_w", "pad_t", "pad_l", "pad_b", "pad_r")
    strides = ("stride", "stride_h", "stride_w")
    if any(params.integer(n) for n in names) or any(
        params.integer(n) > 1 for n in strides if params.has(n)
    ):
        layer.broken("pools globally, but with padding or a stride")
    return Window((x.shape[2], x.shape[3]), (1, 1), (0, 0, 0, 0), (1, 1))


def _grown(layer: Layer, params: Params, window: Window, x: Value) -> tuple[Pads, Pair]:
    """Pads with what the last, partial windows need, and how much of them that is."""
    round_up = not params.has("ceil_mode") or params.flag("ceil_mode")
    if params.has("round_mode"):
        round_up = params.choice("round_mode") == "CEIL"
    padded = any(window.pads)
    sizes = []
    for i in (0, 1):
        before, after = window.pads[i], window.pads[i + 2]
        kernel, stride, size = window.kernel[i], window.stride[i], x.shape[2 + i]
        if before >= kernel or after >= kernel:
            layer.broken(f"pads by {max(before, after)}, as much as its kernel {kernel} is wide")
        rest = size + before + after - kernel
        if rest < 0 and not round_up:
            layer.broken(f"has a kernel of {kernel} for {size} pixels")
        count = (-(-rest // stride) if round_up else rest // stride) + 1
        if padded and (count - 1) * stride >= size + before:
            count -= 1
        if count < 1 or (count - 1) * stride >= size + before:
            layer.broken(f"has a last window that lies outside of its {size} pixels")
        needed = max((count - 1) * stride + kernel - size - before, 0)
        sizes.append((needed, max(needed - after, 0)))
    (bottom, extra_h), (right, extra_w) = sizes
    return (window.pads[0], window.pads[1], bottom, right), (extra_h, extra_w)


def _mask(layer: Layer, window: Window, x: Value) -> Value:
    """Where the maxima are, for an Upsample that puts values back there."""
    if window.kernel != window.stride or any(window.pads):
        layer.refuse("gives the mask of windows that overlap or are padded")
    op = ops.PoolMask(name=layer.helper("mask"), size=window.kernel)
    y = layer.emit(op, x)
    return Value(y.name, y.shape, y.array, window.kernel)
