"""Ops that change the shape or the order of the elements."""

from __future__ import annotations

import math

import numpy as np

from cvi import ops
from cvi.importing.reshape import target_shape
from cvi.ir import Shape
from cvi_frontend_onnx.node import Node
from cvi_frontend_onnx.registry import converts
from cvi_frontend_onnx.values import Value


def reshaped(node: Node, x: Value, shape: Shape) -> Value:
    """The node's result: x in another shape."""
    if x.array is not None:
        return node.fold(x.array.reshape(shape))
    return node.emit(ops.Reshape(name=node.layer, shape=shape), x)


@converts("Reshape")
def reshape(node: Node) -> Value:
    x = node.operand(0)
    wanted = node.integers(1, "the new shape")
    keep_zero = node.attributes.flag("allowzero")
    target = [
        x.shape[i] if size == 0 and not keep_zero and i < x.rank else size
        for i, size in enumerate(wanted)
    ]
    shape = target_shape(x.shape, target, node.batch if x.array is None else None)
    if shape is None:
        hint = ""
        if node.batch is not None:
            hint = f"; the batch {node.batch[0]} is part of the model, {node.batch[1]} does not fit"
        node.broken(f"{'x'.join(map(str, x.shape))} cannot take the shape {wanted}{hint}")
    return reshaped(node, x, shape)


@converts("Flatten")
def flatten(node: Node) -> Value:
    x, axis = node.operand(0), node.attributes.integer("axis", 1)
    if not -x.rank <= axis <= x.rank:
        node.broken(f"axis {axis} of a tensor of {x.rank} dimensions")
    axis = axis + x.rank if axis < 0 else axis
    return reshaped(node, x, (math.prod(x.shape[:axis]), math.prod(x.shape[axis:])))


def _axes(node: Node) -> tuple[int, ...] | None:
    """The axes: an attribute before opset 13, then an operand."""
    if node.opset < 13:
        return node.attributes.ints("axes") if "axes" in node.attributes else None
    return node.integers(1, "the axes") if node.optional(1) is not None else None


@converts("Squeeze")
def squeeze(node: Node) -> Value:
    x, given = node.operand(0), _axes(node)
    if given is None:
        return reshaped(node, x, tuple(size for size in x.shape if size != 1))
    axes = node.axes(given, x.rank)
    if any(x.shape[axis] != 1 for axis in axes):
        node.broken(f"removes axes {axes} of {x.shape}, which are not all of size 1")
    return reshaped(node, x, tuple(s for i, s in enumerate(x.shape) if i not in axes))


@converts("Unsqueeze")
def unsqueeze(node: Node) -> Value:
    x, given = node.operand(0), _axes(node)
    if given is None:
        node.broken("has no axes")
    axes = node.axes(given, x.rank + len(given))
    sizes = iter(x.shape)
    return reshaped(
        node, x, tuple(1 if i in axes else next(sizes) for i in range(x.rank + len(axes)))
    )


@converts("Transpose")
def transpose(node: Node) -> Value:
    x = node.operand(0)
    order = node.attributes.ints("perm", tuple(reversed(range(x.rank))))
    if sorted(order) != list(range(x.rank)):
        node.broken(f"perm {order} does not order {x.rank} dimensions")
    if x.array is not None:
        return node.fold(x.array.transpose(order))
    return node.emit(ops.Permute(name=node.layer, order=order), x)


@converts("Concat")
def concat(node: Node) -> Value:
    operands = node.operands()
    axis = node.axis(node.attributes.integer("axis"), operands[0].rank)
    if node.is_constant:
        return node.fold(np.concatenate(node.arrays(), axis))
    operands = [
        _with_batch_of_data(node, v, axis) for v in operands if v.array is None or v.elements
    ]
    if len(operands) == 1:
        return operands[0]
    return node.emit(ops.Concat(name=node.layer, axis=axis), *operands)


def _with_batch_of_data(node: Node, v: Value, axis: int) -> Value:
    """A constant made for the model's own batch, repeated for the new one (the class token
    of a vision transformer)."""
    if node.batch is None or v.array is None or axis == 0 or v.shape[0] != node.batch[0]:
        return v
    own, new = node.batch
    if new % own or not any(x.array is None and x.shape[:1] == (new,) for x in node.operands()):
        return v
    node.will_compute((new, *v.shape[1:]))
    return Value.of(np.tile(v.array, (new // own, *(1,) * (v.rank - 1))), v.name)


@converts("Tile")
def tile(node: Node) -> Value:
    x, repeats = node.operand(0), node.integers(1, "the repeats")
    if len(repeats) != x.rank or min(repeats, default=0) < 0:
        node.broken(f"repeats {repeats} do not fit {x.shape}")
    if x.array is not None:
        node.will_compute(tuple(s * r for s, r in zip(x.shape, repeats, strict=True)))
        return node.fold(np.tile(x.array, repeats))
    return node.emit(ops.Tile(name=node.layer, repeats=repeats), x)


@converts("Expand")
def expand(node: Node) -> Value:
    x, wanted = node.operand(0), node.integers(1, "the shape")
    if node.batch is not None and x.array is None and x.shape[:1] == node.batch[1:]:
        wanted = _batch_of_expand(node.batch, x, wanted)
    shape = np.broadcast_shapes(x.shape, wanted)
    if x.array is not None:
        node.will_compute(shape)
        return node.fold(np.broadcast_to(x.array, shape))
    aligned = (1,) * (len(shape) - x.rank) + x.shape
    repeats = tuple(big // small for big, small in zip(shape, aligned, strict=True))
    if aligned == shape:
        return x
    if aligned != x.shape:
        x = node.emit(ops.Reshape(name=node.helper("reshape"), shape=aligned), x)
    return node.emit(ops.Tile(name=node.layer, repeats=repeats), x)


def _batch_of_expand(batch: tuple[int, int], x: Value, wanted: tuple[int, ...]) -> tuple[int, ...]:
    return batch[1:] + wanted[1:] if len(wanted) == x.rank and wanted[0] == batch[0] else wanted


@converts("DepthToSpace")
def depth_to_space(node: Node) -> Value:
    factor, mode = node.attributes.integer("blocksize"), node.attributes.string("mode", "DCR")
    op = ops.PixelShuffle(name=node.layer, factor=factor, mode=mode)
    return node.emit(op, node.operand(0))


@converts("SpaceToDepth")
def space_to_depth(node: Node) -> Value:
    """[n, c, h, w] to [n, c*f*f, h/f, w/f]; DCR: the block is the slower channel index."""
    x, f = node.operand(0), node.attributes.integer("blocksize")
    mode = node.attributes.string("mode", "DCR")
    if x.rank != 4 or f < 1 or x.shape[2] % f or x.shape[3] % f or mode not in ("DCR", "CRD"):
        node.broken(f"blocks of {f} ({mode}) do not fit {x.shape}")
    n, c, h, w = x.shape
    split = (n, c, h // f, f, w // f, f)
    order = (0, 3, 5, 1, 2, 4) if mode == "DCR" else (0, 1, 3, 5, 2, 4)
    blocks = node.emit(ops.Reshape(name=node.helper("split"), shape=split), x)
    moved = node.emit(ops.Permute(name=node.helper("permute"), order=order), blocks)
    return node.emit(ops.Reshape(name=node.layer, shape=(n, c * f * f, h // f, w // f)), moved)
