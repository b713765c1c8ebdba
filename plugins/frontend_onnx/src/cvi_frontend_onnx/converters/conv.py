"""Convolutions."""

from __future__ import annotations

from cvi import ops
from cvi.ir import Array
from cvi_frontend_onnx.converters.spatial import Window, from_2d, onnx_pads, pair, to_2d
from cvi_frontend_onnx.node import Node
from cvi_frontend_onnx.registry import converts
from cvi_frontend_onnx.values import Value, as_fp32


@converts("Conv")
def conv(node: Node) -> Value:
    x, weight, bias = _operands(node)
    window = Window.read(node, x, weight.shape[2:])
    op = ops.Conv2d(
        name=node.layer if x.rank == 4 else node.helper("2d"),
        stride=pair(window.strides),
        pads=onnx_pads(window.pads),
        dilation=pair(window.dilations),
        group=node.attributes.integer("group", 1),
    )
    return _run(node, op, x, weight, bias)


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


def _operands(node: Node) -> tuple[Value, Array, Array | None]:
    x = node.operand(0)
    weight = as_fp32(node.constant(1, "the weight"))
    bias = node.optional_constant(2, "the bias")
    if x.rank not in (3, 4):
        node.refuse(f"works on a tensor of {x.rank} dimensions; 1-D and 2-D are supported")
    if weight.ndim != x.rank:
        node.broken(f"the weight has {weight.ndim} dimensions, the data {x.rank}")
    return x, weight, None if bias is None else as_fp32(bias)


def _run(
    node: Node,
    op: ops.Conv2d | ops.ConvTranspose2d,
    x: Value,
    weight: Array,
    bias: Array | None,
) -> Value:
    if weight.ndim == 3:
        weight = weight[..., None]
    named = node.inputs[1]
    kernel = Value.of(weight, named.name if named is not None else "")
    shift = node.inputs[2] if bias is not None else None
    offset = None if bias is None or shift is None else Value.of(bias, shift.name)
    return from_2d(node, x, node.emit(op, to_2d(node, x), kernel, offset))
