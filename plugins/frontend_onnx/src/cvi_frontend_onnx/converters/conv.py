"""Convolutions."""

from __future__ import annotations

from cvi import ops
from cvi_frontend_onnx.converters.spatial import Window, from_2d, onnx_pads, pair, to_2d
from cvi_frontend_onnx.node import Node
from cvi_frontend_onnx.registry import converts
from cvi_frontend_onnx.values import Value, as_fp32


@converts("Conv")
def conv(node: Node) -> Value:
    x, weight, bias = _operands(node)
    op = conv_op(node, x, weight, node.layer if x.rank == 4 else node.helper("2d"))
    return _run(node, op, x, weight, bias)


def conv_op(node: Node, x: Value, weight: Value, name: str) -> ops.Conv2d:
    """The convolution with the node's attributes, as a layer `name`."""
    window = Window.read(node, x, weight.shape[2:])
    return ops.Conv2d(
        name=name,
        stride=pair(window.strides),
        pads=onnx_pads(window.pads),
        dilation=pair(window.dilations),
        group=node.attributes.integer("group", 1),
    )


@converts("ConvTranspose")
def conv_transpose(node: Node) -> Value:
    x, weight, bias = _operands(node)
    spatial = x.shape[2:]
    window = Window.read(node, x, weight.shape[2:], transposed=True)
    extra = node.attributes.ints("output_padding", (0,) * len(spatial))
    window.check_length(node, "output_padding", extra)
    pads, extra = window.transposed_pads(node, spatial, extra)
    op = ops.ConvTranspose2d(
        name=node.layer if x.rank == 4 else node.helper("2d"),
        stride=pair(window.strides),
        pads=onnx_pads(pads),
        dilation=pair(window.dilations),
        output_padding=pair(extra, 0),
        group=node.attributes.integer("group", 1),
    )
    return _run(node, op, x, weight, bias)


def _operands(node: Node) -> tuple[Value, Value, Value | None]:
    """The data; weight and bias, which are constants."""
    x, given = node.operand(0), node.optional(2)
    weight = as_fp32(node.constant(1, "the weight"))
    bias = node.optional_constant(2, "the bias")
    if x.rank not in (3, 4):
        node.refuse(f"works on a tensor of {x.rank} dimensions; 1-D and 2-D are supported")
    if weight.ndim != x.rank:
        node.broken(f"the weight has {weight.ndim} dimensions, the data {x.rank}")
    offset = None if bias is None or given is None else Value.of(as_fp32(bias), given.name)
    return x, Value.of(weight, node.operand(1).name), offset


def _run(
    node: Node,
    op: ops.Conv2d | ops.ConvTranspose2d,
    x: Value,
    weight: Value,
    bias: Value | None,
) -> Value:
    if weight.array is not None and weight.rank == 3:
        weight = Value.of(weight.array[..., None], weight.name)
    return from_2d(node, x, node.emit(op, to_2d(node, x), weight, bias))
