"""Pooling."""

from __future__ import annotations

import numpy as np

from cvi import ops
from cvi_frontend_onnx.converters.select import cut
from cvi_frontend_onnx.converters.spatial import Window, from_2d, onnx_pads, pair, to_2d
from cvi_frontend_onnx.node import Node
from cvi_frontend_onnx.registry import converts
from cvi_frontend_onnx.values import Indices, Value

IMAGE = 4
"""Dimensions of a tensor with rows and columns."""


@converts("MaxPool")
def max_pool(node: Node) -> list[Value]:
    """The second output says where the maxima are."""
    by_columns = node.attributes.flag("storage_order")
    x, window, ceil = _operands(node)
    pads = _grown(window, ceil)
    op = ops.MaxPool2d(
        name=_name(node, x),
        kernel=pair(window.kernel),
        stride=pair(window.strides),
        pads=onnx_pads(pads),
        dilation=pair(window.dilations),
    )
    y = from_2d(node, x, node.emit(op, to_2d(node, x)))
    apart = op.kernel == op.stride and op.dilation == (1, 1) and not any(map(any, window.pads))
    block = op.kernel if apart and x.rank == IMAGE and not by_columns else None
    return [y, Indices(y.name, y.shape, np.dtype(np.int64), pooled=x, block=block)]


@converts("MaxUnpool")
def max_unpool(node: Node) -> Value:
    """The values repeated over blocks, times the mask of where the maxima were."""
    x, indices = node.operand(0), node.operand(1)
    window = Window.read(node, x)
    wanted = node.integers(2, "the size") if node.optional(2) is not None else None
    if not isinstance(indices, Indices):
        node.refuse("takes its indices from elsewhere than a MaxPool")
    block, pooled = indices.block, indices.pooled
    if (
        block is None
        or (window.kernel, window.strides) != (block, block)
        or any(map(any, window.pads))
    ):
        node.refuse("undoes a MaxPool whose windows overlap, are padded, dilated or not 2-D")
    if x.shape != indices.shape:
        node.broken(f"has {x.shape} values for the maxima of {indices.shape}")
    whole = tuple(n * size for n, size in zip(x.shape[2:], block, strict=True))
    shape = (*x.shape[:2], *whole) if wanted is None else wanted
    if shape != pooled.shape:
        node.refuse(f"its result {shape} is not the size of what was pooled, {pooled.shape}")
    return _unpooled(node, x, pooled, block)


def _unpooled(node: Node, x: Value, pooled: Value, block: tuple[int, int]) -> Value:
    """Rows and columns of no whole block (without ceil_mode) become 0."""
    up = node.emit(ops.Upsample(name=node.helper("upsample"), factors=block), x)
    common = tuple(min(a, b) for a, b in zip(up.shape, pooled.shape, strict=True))
    ranges = [range(size) for size in common]
    if common != up.shape:
        up = cut(node.helper("cut"), node, up, ranges)
    if common != pooled.shape:
        source = cut(node.helper("blocks"), node, pooled, ranges)
    else:
        source = pooled
    mask = node.emit(ops.PoolMask(name=node.helper("mask"), size=block), source)
    if common == pooled.shape:
        return node.emit(ops.Mul(name=node.layer), up, mask)
    product = node.emit(ops.Mul(name=node.helper("product")), up, mask)
    after = tuple(size - own for size, own in zip(pooled.shape, common, strict=True))
    return node.emit(ops.Pad(name=node.layer, before=(0,) * IMAGE, after=after), product)


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
    if x.rank not in (3, 4, 5):
        node.refuse(f"works on a tensor of {x.rank} dimensions; 1-D and 2-D are supported")
    window = Window.read(node, x)
    if x.rank == 5 and not all(window.is_one(axis) for axis in (1, 2)):
        node.refuse("works on windows of three dimensions; 1-D and 2-D are supported")
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
