"""Padding."""

from __future__ import annotations

import numpy as np

from cvi import ops
from cvi_frontend_tflite.converters.select import mirror, part_of_axis
from cvi_frontend_tflite.converters.shape import joined
from cvi_frontend_tflite.node import Node
from cvi_frontend_tflite.registry import converts
from cvi_frontend_tflite.values import Value

_REFLECT = 0


@converts("PAD", "PADV2")
def pad(node: Node) -> Value:
    x = node.operand(0)
    before, after = _widths(node, x)
    value = float(node.constant(2, "the value").reshape(())) if len(node.inputs) > 2 else 0.0
    if x.array is not None:
        node.will_compute(tuple(b + s + a for b, s, a in zip(before, x.shape, after, strict=True)))
        widths = tuple(zip(before, after, strict=True))
        return node.fold(np.pad(x.array, widths, constant_values=x.dtype.type(value)))
    return padded(node, x, before, after, node.layer, value=value)


@converts("MIRROR_PAD")
def mirror_pad(node: Node) -> Value:
    """REFLECT leaves the border out, SYMMETRIC repeats it: for one pixel the edge mode."""
    x = node.operand(0)
    before, after = _widths(node, x)
    if node.option("Mode", _REFLECT) == _REFLECT:
        return padded(node, x, before, after, node.layer, mode="reflect")
    if max(*before, *after) <= 1:
        return padded(node, x, before, after, node.layer, mode="edge")
    if any(max(pair) > n for *pair, n in zip(before, after, x.shape, strict=True)):
        node.broken(f"mirrors more pixels than {x.shape} has")
    axes = [axis for axis in range(x.rank) if before[axis] or after[axis]]
    for axis in axes:
        name = node.layer if axis == axes[-1] else node.helper(f"axis{axis}")
        x = _mirrored(node, x, axis, (before[axis], after[axis]), name)
    return x


def _mirrored(node: Node, x: Value, axis: int, widths: tuple[int, int], name: str) -> Value:
    """The tensor between its mirrored ends along one axis."""
    ends = (("front", 0, widths[0]), ("back", x.shape[axis] - widths[1], widths[1]))
    front, back = (
        [mirror(node, part_of_axis(node, x, axis, start, n, f"{name}_{end}_part"), axis,
                f"{name}_{end}")] if n else []
        for end, start, n in ends
    )  # fmt: skip
    return joined(node, [*front, x, *back], axis, name)


def padded(
    node: Node,
    x: Value,
    before: tuple[int, ...],
    after: tuple[int, ...],
    name: str,
    *,
    mode: str = "constant",
    value: float = 0.0,
) -> Value:
    """A tensor with pads given in TFLite's order of dimensions."""
    op = ops.Pad(
        name=name,
        before=tuple(before[i] for i in x.order),
        after=tuple(after[i] for i in x.order),
        mode=mode,
        value=value,
    )
    return node.emit(op, x, order=x.order)


def _widths(node: Node, x: Value) -> tuple[tuple[int, ...], tuple[int, ...]]:
    widths = node.constant(1, "the pads")
    if widths.shape != (x.rank, 2) or widths.dtype.kind not in "iu":
        node.broken(f"pads of shape {widths.shape} for {x.rank} dimensions")
    if widths.size and (widths.min() < 0 or widths.max() > 1 << 16):
        node.broken("pads out of range")
    return tuple(int(v) for v in widths[:, 0]), tuple(int(v) for v in widths[:, 1])
