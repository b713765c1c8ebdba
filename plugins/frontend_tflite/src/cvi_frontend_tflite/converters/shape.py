"""Ops that change the shape or the order of the elements."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cvi import ops
from cvi.importing.reshape import target_shape
from cvi.ir import Shape
from cvi_frontend_tflite.converters.elementwise import common_order
from cvi_frontend_tflite.fused import activated
from cvi_frontend_tflite.node import Node
from cvi_frontend_tflite.registry import converts
from cvi_frontend_tflite.values import IMAGE, Value


@converts("RESHAPE")
def reshape(node: Node) -> Value:
    x = node.operand(0)
    wanted = _wanted_shape(node)
    shape = target_shape(x.shape, wanted, node.batch if x.array is None else None)
    if shape is None:
        hint = ""
        if node.batch is not None:
            hint = f"; the batch {node.batch[0]} is part of the model, {node.batch[1]} does not fit"
        node.broken(f"{'x'.join(map(str, x.shape))} cannot take the shape {wanted}{hint}")
    return node.reshaped(x, shape, node.layer)


def _wanted_shape(node: Node) -> tuple[int, ...]:
    """The second operand, in old files an option."""
    if node.optional(1) is not None:
        return node.integers(1, "the new shape")
    return node.option_list("NewShape")


@converts("SQUEEZE")
def squeeze(node: Node) -> Value:
    x = node.operand(0)
    axes = node.axes(node.option_list("SqueezeDims"), x.rank)
    axes = axes or tuple(i for i, size in enumerate(x.shape) if size == 1)
    if any(x.shape[axis] != 1 for axis in axes):
        node.broken(f"removes axes {axes} of {x.shape}, which are not all of size 1")
    return node.reshaped(x, without(x.shape, axes), node.layer)


def without(shape: Shape, axes: Sequence[int]) -> Shape:
    return tuple(size for i, size in enumerate(shape) if i not in axes)


@converts("EXPAND_DIMS")
def expand_dims(node: Node) -> Value:
    x = node.operand(0)
    axis = node.axis(node.integer(1, "the axis"), x.rank + 1)
    return node.reshaped(x, (*x.shape[:axis], 1, *x.shape[axis:]), node.layer)


@converts("TRANSPOSE")
def transpose(node: Node) -> Value:
    """No layer at all: what follows takes the dimensions in the new order."""
    x, order = node.operand(0), node.integers(1, "the order")
    if sorted(order) != list(range(x.rank)):
        node.broken(f"{order} does not order {x.rank} dimensions")
    return x.transposed(order)


@converts("CONCATENATION")
def concatenation(node: Node) -> Value:
    operands = node.operands()
    axis = node.axis(node.option("Axis", 0), operands[0].rank)
    if node.is_constant:
        return node.fold(np.concatenate(node.arrays(), axis))
    if not node.option("FusedActivationFunction", 0):
        return joined(node, [v for v in operands if v.elements], axis, node.layer)
    whole = joined(node, operands, axis, node.helper("joined"))
    return activated(node, node.layer, whole)


def joined(node: Node, values: Sequence[Value], axis: int, name: str) -> Value:
    """Tensors joined along an axis, all held in one order."""
    if len({v.rank for v in values}) != 1:
        node.broken("joins tensors of different ranks")
    order = common_order(node, values)
    held = [node.held(v, order) for v in values]
    if len(held) == 1:
        return held[0]
    return node.emit(ops.Concat(name=name, axis=order.index(axis)), *held, order=order)


@converts("PACK")
def pack(node: Node) -> Value:
    operands = node.operands()
    if any(v.shape != operands[0].shape for v in operands):
        node.broken("stacks tensors of different shapes")
    axis = node.axis(node.option("Axis", 0), operands[0].rank + 1)
    if node.is_constant:
        return node.fold(np.stack(node.arrays(), axis))
    parts = [
        node.reshaped(v, (*v.shape[:axis], 1, *v.shape[axis:]), node.helper(f"part{i}"))
        for i, v in enumerate(operands)
    ]
    if len(parts) == 1:
        return parts[0]
    return joined(node, parts, axis, node.layer)


@converts("TILE")
def tile(node: Node) -> Value:
    x, repeats = node.operand(0), node.integers(1, "the repeats")
    if len(repeats) != x.rank or min(repeats, default=0) < 0:
        node.broken(f"repeats {repeats} do not fit {x.shape}")
    return repeated(node, x, repeats)


def repeated(node: Node, x: Value, repeats: Sequence[int]) -> Value:
    if x.array is not None:
        node.will_compute(tuple(s * r for s, r in zip(x.shape, repeats, strict=True)))
        return node.fold(np.tile(x.array, repeats))
    held = tuple(repeats[i] for i in x.order)
    return node.emit(ops.Tile(name=node.layer, repeats=held), x, order=x.order)


@converts("BROADCAST_TO")
def broadcast_to(node: Node) -> Value:
    x, wanted = node.operand(0), node.integers(1, "the shape")
    shape = np.broadcast_shapes(x.shape, wanted)
    if shape != wanted:
        node.broken(f"{x.shape} does not broadcast to {wanted}")
    wide = node.reshaped(x, (1,) * (len(shape) - x.rank) + x.shape, node.helper("widened"))
    return repeated(node, wide, [a // b for a, b in zip(shape, wide.shape, strict=True)])


@converts("DEPTH_TO_SPACE")
def depth_to_space(node: Node) -> Value:
    """Input channel = (dy * size + dx) * channels + c."""
    x, factor = node.image(node.operand(0)), node.option("BlockSize", 1)
    op = ops.PixelShuffle(name=node.layer, factor=factor, mode="DCR")
    return node.emit(op, x, order=IMAGE)


@converts("SPACE_TO_DEPTH")
def space_to_depth(node: Node) -> Value:
    """Result channel = (dy * size + dx) * channels + c."""
    x, f = node.image(node.operand(0)), node.option("BlockSize", 1)
    n, c, h, w = x.carried
    if f < 1 or h % f or w % f:
        node.broken(f"blocks of {f} do not fit {x.shape}")
    split = ops.Reshape(name=node.helper("split"), shape=(n, c, h // f, f, w // f, f))
    moved = ops.Permute(name=node.helper("permute"), order=(0, 3, 5, 1, 2, 4))
    blocks = node.emit(moved, node.emit(split, x))
    shape = (n, c * f * f, h // f, w // f)
    return node.emit(ops.Reshape(name=node.layer, shape=shape), blocks, order=IMAGE)
