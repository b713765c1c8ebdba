"""Pooling."""

from __future__ import annotations

from cvi import ops
from cvi_frontend_onnx.converters.spatial import Window, from_2d, onnx_pads, pair, to_2d
from cvi_frontend_onnx.node import Node
from cvi_frontend_onnx.registry import converts
from cvi_frontend_onnx.values import Value


@converts("MaxPool")
def max_pool(node: Node) -> Value:
    node.attributes.ignore("storage_order")  # only the order of the second output
    x, window, ceil = _operands(node)
    pads = _grown(window, ceil)
    op = ops.MaxPool2d(
        name=_name(node, x),
        kernel=pair(window.kernel),
        stride=pair(window.strides),
        pads=onnx_pads(pads),
        dilation=pair(window.dilations),
    )
    return from_2d(node, x, node.emit(op, to_2d(node, x)))


@converts("AveragePool")
def average_pool(node: Node) -> Value:
    x, window, ceil = _operands(node)
    dilated = zip(window.dilations, window.kernel, strict=True)
    if any(dilation > 1 and kernel > 1 for dilation, kernel in dilated):
        node.refuse(f"dilations {window.dilations} are not supported")
    op = ops.AvgPool2d(
        name=_name(node, x),
        kernel=pair(window.kernel),
        stride=pair(window.strides),
        pads=onnx_pads(_grown(window, ceil)),
        ceil_pads=pair(ceil, 0),
        count_include_pad=node.attributes.flag("count_include_pad"),
    )
    return from_2d(node, x, node.emit(op, to_2d(node, x)))


@converts("GlobalAveragePool", "GlobalMaxPool")
def global_pool(node: Node) -> Value:
    x = node.operand(0)
    average = node.op_type == "GlobalAveragePool"
    if x.rank < 2:
        node.broken(f"pools a tensor of {x.rank} dimensions")
    if x.rank not in (3, 4):
        axes = tuple(range(2, x.rank))
        method = "mean" if average else "max"
        return node.emit(ops.Reduce(name=node.layer, method=method, axes=axes), x)
    kernel = pair(x.shape[2:])
    pool = ops.AvgPool2d if average else ops.MaxPool2d
    return from_2d(node, x, node.emit(pool(name=_name(node, x), kernel=kernel), to_2d(node, x)))


def _operands(node: Node) -> tuple[Value, Window, tuple[int, ...]]:
    """The data, the window, and the rows and columns that only ceil_mode adds."""
    x = node.operand(0)
    if x.rank not in (3, 4):
        node.refuse(f"works on a tensor of {x.rank} dimensions; 1-D and 2-D are supported")
    window = Window.read(node, x)
    if not node.attributes.flag("ceil_mode"):
        return x, window, (0,) * (x.rank - 2)
    return x, window, tuple(_ceil_pad(window, i, size) for i, size in enumerate(x.shape[2:]))


def _ceil_pad(window: Window, i: int, size: int) -> int:
    """Rows behind the padding that a last, partial window needs.

    A window that would start in the padding behind the data does not count.
    """
    before, after = window.pads[i]
    stride = window.strides[i]
    extent = (window.kernel[i] - 1) * window.dilations[i] + 1
    results = -(-(size + before + after - extent) // stride) + 1
    if (results - 1) * stride >= size + before:
        results -= 1
    return max((results - 1) * stride + extent - (size + before + after), 0)


def _grown(window: Window, ceil: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    return tuple(
        (before, after + extra) for (before, after), extra in zip(window.pads, ceil, strict=True)
    )


def _name(node: Node, x: Value) -> str:
    return node.layer if x.rank == 4 else node.helper("2d")
