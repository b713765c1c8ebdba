"""Convolutions and deconvolutions."""

from __future__ import annotations

from cvi import ops
from cvi.ir import Array
from cvi_frontend_caffe.converters.window import Window, read_window, two_dimensional
from cvi_frontend_caffe.layer import Layer
from cvi_frontend_caffe.params import Params
from cvi_frontend_caffe.registry import converts
from cvi_frontend_caffe.values import Value


@converts("Convolution", "ConvolutionDepthwise", "DepthwiseConvolution")
def convolution(layer: Layer) -> Value:
    """Filters [oc, ic/group, kh, kw]; the depthwise kinds have a group per input channel."""
    x, params, window = _operands(layer)
    depthwise = layer.type != "Convolution"
    group = x.channels if depthwise else params.integer("group")
    params.ignore("group")
    oc = _outputs(layer, params, x, group)
    shape = (oc, x.channels // group, *window.kernel)
    op = ops.Conv2d(
        name=layer.top_name(0),
        stride=window.stride,
        pads=window.pads,
        dilation=window.dilation,
        group=group,
    )
    kernel = layer.filters(0, shape, shape[1] * shape[2] * shape[3])
    return layer.emit(op, x, kernel, *_bias(layer, params, oc))


@converts("Deconvolution")
def deconvolution(layer: Layer) -> Value:
    """Filters [ic, oc/group, kh, kw]."""
    x, params, window = _operands(layer)
    group = params.integer("group")
    oc = _outputs(layer, params, x, group)
    shape = (x.channels, oc // group, *window.kernel)
    reached = max(shape[2] * shape[3] // (window.stride[0] * window.stride[1]), 1)
    op = ops.ConvTranspose2d(
        name=layer.top_name(0),
        stride=window.stride,
        pads=window.pads,
        dilation=window.dilation,
        group=group,
    )
    kernel = layer.filters(0, shape, x.channels // group * reached)
    return layer.emit(op, x, kernel, *_bias(layer, params, oc))


def _operands(layer: Layer) -> tuple[Value, Params, Window]:
    layer.bottoms(1, 1)
    params = layer.params("convolution_param")
    x = two_dimensional(layer, layer.bottom())
    if params.integer("axis") not in (1, -3):
        layer.refuse("convolves along another axis than the channels")
    return x, params, read_window(layer, params)


def _outputs(layer: Layer, params: Params, x: Value, group: int) -> int:
    """num_output, which fits the groups."""
    oc = params.integer("num_output")
    if oc < 1 or group < 1 or oc % group or x.channels % group:
        layer.broken(f"makes {oc} channels of {x.channels} in {group} groups")
    return oc


def _bias(layer: Layer, params: Params, oc: int) -> tuple[Array, ...]:
    return (layer.bias(1, oc),) if params.flag("bias_term") else ()
