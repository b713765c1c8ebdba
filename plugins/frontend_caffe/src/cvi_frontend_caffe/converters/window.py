"""The windows of convolutions and pools: kernel, stride, padding and dilation."""

from __future__ import annotations

from dataclasses import dataclass

from cvi.ops.windows import Pads, Pair
from cvi_frontend_caffe.layer import Layer
from cvi_frontend_caffe.params import Params
from cvi_frontend_caffe.values import Value


@dataclass(frozen=True)
class Window:
    """pads: (top, left, bottom, right)."""

    kernel: Pair
    stride: Pair
    pads: Pads
    dilation: Pair


def read_window(layer: Layer, params: Params) -> Window:
    """From `convolution_param` or `pooling_param`: lists are in the order h, w."""
    kernel = _pair(layer, params, "kernel", "kernel_size")
    if kernel is None:
        layer.broken("has no kernel_size")
    stride = _pair(layer, params, "stride", "stride") or (1, 1)
    dilation = _list(layer, params, "dilation") if params.knows("dilation") else None
    for label, pair in (("kernel", kernel), ("stride", stride), ("dilation", dilation)):
        if pair is not None and min(pair) < 1:
            layer.broken(f"has the {label} {pair[0]}x{pair[1]}")
    return Window(kernel, stride, _pads(layer, params), dilation or (1, 1))


def two_dimensional(layer: Layer, x: Value) -> Value:
    """The same value; refuses all but [n, c, h, w]."""
    if x.rank != 4:
        layer.refuse(f"works on a blob of {x.rank} dimensions; only 2-D with 4 is supported")
    return x


def _pads(layer: Layer, params: Params) -> Pads:
    sides = ("pad_t", "pad_l", "pad_b", "pad_r")
    if any(params.has(side) for side in sides):
        top, left, bottom, right = (params.integer(side) for side in sides)
        return top, left, bottom, right
    h, w = _pair(layer, params, "pad", "pad") or (0, 0)
    return h, w, h, w


def _pair(layer: Layer, params: Params, stem: str, together: str) -> Pair | None:
    """`<stem>_h` and `<stem>_w`, or one parameter for both."""
    h, w = f"{stem}_h", f"{stem}_w"
    if params.has(h) or params.has(w):
        params.ignore(together)
        return params.integer(h), params.integer(w)
    return _list(layer, params, together)


def _list(layer: Layer, params: Params, name: str) -> Pair | None:
    if not params.has(name):
        return None
    values = params.integers(name) if params.is_list(name) else (params.integer(name),)
    if len(values) > 2:
        layer.refuse(f"has a {name} of {len(values)} dimensions; only 2-D is supported")
    return values[0], values[-1]
