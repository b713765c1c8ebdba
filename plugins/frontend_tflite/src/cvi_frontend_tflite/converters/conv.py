"""Convolutions."""

from __future__ import annotations

import numpy as np

from cvi import ops
from cvi.ir import Array
from cvi_frontend_tflite.fused import emit_activated
from cvi_frontend_tflite.node import Node
from cvi_frontend_tflite.registry import converts
from cvi_frontend_tflite.values import IMAGE, Value
from cvi_frontend_tflite.windows import dilation_of, stride_of, window_pads


@converts("CONV_2D")
def conv(node: Node) -> Value:
    """Weights [oc, kh, kw, ic / groups]; the groups follow from the channels."""
    x, filters = node.image(node.operand(0)), _filters(node, 1)
    channels, depth = x.shape[3], filters.shape[3]
    if not depth or channels % depth:
        node.broken(f"filters of {depth} channels do not fit {channels}")
    return _conv(node, x, filters.transpose(0, 3, 1, 2), channels // depth)


@converts("DEPTHWISE_CONV_2D")
def depthwise(node: Node) -> Value:
    """Weights [1, kh, kw, channels * multiplier]; result channel = channel * multiplier + i."""
    x, filters = node.image(node.operand(0)), _filters(node, 1)
    channels = x.shape[3]
    if filters.shape[0] != 1 or filters.shape[3] % channels:
        node.broken(f"filters {filters.shape} do not fit {channels} channels")
    return _conv(node, x, filters.transpose(3, 0, 1, 2), channels)


def _filters(node: Node, index: int) -> Array:
    filters = node.constant(index, "the filters")
    if filters.ndim != 4 or filters.dtype.kind != "f":
        node.broken(f"filters of shape {filters.shape} and type {filters.dtype}")
    return filters


def bias(node: Node, index: int) -> Value | None:
    """The optional bias; one of zeros is none."""
    value = node.optional(index)
    if value is None:
        return None
    array = node.constant(index, "the bias")
    return value if np.any(array) else None


def _conv(node: Node, x: Value, weight: Array, group: int) -> Value:
    kernel = (weight.shape[2], weight.shape[3])
    stride, dilation = stride_of(node), dilation_of(node)
    pads = window_pads(node, (x.shape[1], x.shape[2]), kernel, stride, dilation)
    op = ops.Conv2d(name=node.layer, stride=stride, pads=pads, dilation=dilation, group=group)
    named = Value.of(weight, node.operand(1).name)
    return emit_activated(node, op, x, named, bias(node, 2), order=IMAGE)


@converts("TRANSPOSE_CONV")
def transpose_conv(node: Node) -> Value:
    """Operands: the size of the result, weights [oc, kh, kw, ic], image, bias.

    The result of all taps is cut, or filled up, to the given size; SAME cuts half of what
    a convolution of that size would pad in front.
    """
    size = node.integers(0, "the size of the result")
    x, filters = node.image(node.operand(2)), _filters(node, 1)
    if len(size) != 4 or filters.shape[3] != x.shape[3]:
        node.broken(f"filters {filters.shape} and size {size} do not fit {x.shape}")
    kernel, stride = (filters.shape[1], filters.shape[2]), stride_of(node)
    out = (size[1], size[2])
    top, left, _, _ = window_pads(node, out, kernel, stride, (1, 1))
    full = [(x.shape[1 + i] - 1) * stride[i] + kernel[i] for i in (0, 1)]
    rest = [full[0] - top - out[0], full[1] - left - out[1]]
    op = ops.ConvTranspose2d(
        name=node.layer,
        stride=stride,
        pads=(top, left, max(rest[0], 0), max(rest[1], 0)),
        output_padding=(max(-rest[0], 0), max(-rest[1], 0)),
    )
    weight = Value.of(filters.transpose(3, 0, 1, 2), node.operand(1).name)
    return emit_activated(node, op, x, weight, bias(node, 3), order=IMAGE)
