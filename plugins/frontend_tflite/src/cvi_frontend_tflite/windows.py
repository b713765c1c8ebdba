"""Padding of sliding windows as TFLite computes it."""

from __future__ import annotations

from cvi.ops.windows import Pads, Pair, extent
from cvi_frontend_tflite.node import Node

_SAME, _VALID = 0, 1


def window_pads(node: Node, size: Pair, kernel: Pair, stride: Pair, dilation: Pair) -> Pads:
    """(top, left, bottom, right) for the op's padding scheme.

    SAME: so many that the result has ceil(size / stride) pixels, the odd one behind.
    """
    kind = node.option("Padding", _SAME)
    if kind == _VALID:
        return 0, 0, 0, 0
    if kind != _SAME:
        node.refuse(f"padding scheme {kind} is not supported")
    (top, bottom), (left, right) = (
        _same(size[i], kernel[i], stride[i], dilation[i]) for i in (0, 1)
    )
    return top, left, bottom, right


def _same(size: int, kernel: int, stride: int, dilation: int) -> Pair:
    needed = (-(-size // stride) - 1) * stride + extent(kernel, dilation) - size
    total = max(needed, 0)
    return total // 2, total - total // 2


def stride_of(node: Node) -> Pair:
    return _positive(node, node.option("StrideH", 1), node.option("StrideW", 1))


def dilation_of(node: Node) -> Pair:
    return _positive(node, node.option("DilationHFactor", 1), node.option("DilationWFactor", 1))


def _positive(node: Node, h: int, w: int) -> Pair:
    if min(h, w) < 1:
        node.broken("a stride or dilation is not positive")
    return h, w
