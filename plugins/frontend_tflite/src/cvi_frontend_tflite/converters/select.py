"""Ops that take parts of a tensor."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cvi import ops
from cvi.ir import Shape
from cvi_frontend_tflite.converters.reduce import kept_order
from cvi_frontend_tflite.converters.shape import joined, without
from cvi_frontend_tflite.node import Node
from cvi_frontend_tflite.registry import converts
from cvi_frontend_tflite.values import Value

MOST_PIECES = 64
"""Most slices that a gather becomes."""


def cut(
    node: Node,
    x: Value,
    starts: Sequence[int],
    sizes: Shape,
    name: str,
    steps: Sequence[int] | None = None,
) -> Value:
    """A part of a tensor, given in TFLite's order of dimensions."""
    steps = [1] * x.rank if steps is None else steps
    for start, size, step, length in zip(starts, sizes, steps, x.shape, strict=True):
        if start < 0 or size < 1 or start + (size - 1) * step >= length:
            node.broken(f"takes {size} elements from {start} on of {length}")
    if tuple(sizes) == x.shape:
        return x
    if x.array is not None:
        parts = zip(starts, sizes, steps, strict=True)
        return node.fold(x.array[tuple(slice(a, a + (n - 1) * s + 1, s) for a, n, s in parts)])
    op = ops.Slice(
        name=name,
        starts=tuple(starts[i] for i in x.order),
        sizes=tuple(sizes[i] for i in x.order),
        steps=tuple(steps[i] for i in x.order),
    )
    return node.emit(op, x, order=x.order)


def part_of_axis(node: Node, x: Value, axis: int, start: int, size: int, name: str) -> Value:
    starts, sizes = [0] * x.rank, list(x.shape)
    starts[axis], sizes[axis] = start, size
    return cut(node, x, starts, tuple(sizes), name)


@converts("SLICE")
def slice_(node: Node) -> Value:
    x = node.operand(0)
    begin, size = node.integers(1, "the beginning"), list(node.integers(2, "the size"))
    if len(begin) != x.rank or len(size) != x.rank:
        node.broken(f"begin {begin} and size {size} do not fit {x.shape}")
    sizes = [x.shape[i] - begin[i] if n == -1 else n for i, n in enumerate(size)]
    own = node.batch is not None and x.array is None and x.rank and x.shape[0] == node.batch[1]
    if own and node.batch is not None and begin[0] == 0 and sizes[0] == node.batch[0]:
        sizes[0] = x.shape[0]
    return cut(node, x, begin, tuple(sizes), node.layer)


@converts("REVERSE_V2")
def reverse(node: Node) -> Value:
    x = node.operand(0)
    return reversed_along(node, x, node.axes(node.integers(1, "the axes"), x.rank))


def reversed_along(node: Node, x: Value, axes: Sequence[int]) -> Value:
    """The elements in the opposite order along the axes."""
    if x.array is not None:
        return node.fold(np.flip(x.array, tuple(axes)))
    for i, axis in enumerate(axes):
        name = node.layer if i + 1 == len(axes) else node.helper(f"reverse{i}")
        x = mirror(node, x, axis, name)
    return x


def mirror(node: Node, x: Value, axis: int, name: str) -> Value:
    """The elements in the opposite order along one axis."""
    return node.emit(ops.Reverse(name=name, axis=x.order.index(axis)), x, order=x.order)


@converts("SPLIT")
def split(node: Node) -> list[Value]:
    """Operands: the axis, then the tensor."""
    x, count = node.operand(1), node.option("NumSplits", len(node.outputs))
    axis = node.axis(node.integer(0, "the axis"), x.rank)
    if count != len(node.outputs) or not count or x.shape[axis] % count:
        node.broken(f"{x.shape[axis]} does not divide into {count} parts")
    return _split(node, x, axis, [x.shape[axis] // count] * count)


@converts("SPLIT_V")
def split_v(node: Node) -> list[Value]:
    x, sizes = node.operand(0), list(node.integers(1, "the sizes"))
    axis = node.axis(node.integer(2, "the axis"), x.rank)
    if sizes.count(-1) == 1:
        sizes[sizes.index(-1)] = x.shape[axis] - sum(sizes) - 1
    if len(sizes) != len(node.outputs) or sum(sizes) != x.shape[axis] or min(sizes) < 1:
        node.broken(f"sizes {sizes} do not divide {x.shape[axis]}")
    return _split(node, x, axis, sizes)


def _split(node: Node, x: Value, axis: int, sizes: Sequence[int]) -> list[Value]:
    starts = np.cumsum([0, *sizes]).tolist()
    return [
        part_of_axis(node, x, axis, starts[i], size, node.layer_of(i))
        for i, size in enumerate(sizes)
    ]


@converts("UNPACK")
def unpack(node: Node) -> list[Value]:
    x = node.operand(0)
    axis = node.axis(node.option("Axis", 0), x.rank)
    if x.shape[axis] != len(node.outputs):
        node.broken(f"{len(node.outputs)} results of {x.shape[axis]} parts")
    return [_without_axis(node, x, axis, i, node.layer_of(i)) for i in range(x.shape[axis])]


def _without_axis(node: Node, x: Value, axis: int, index: int, name: str) -> Value:
    """One slice along an axis, which vanishes."""
    part = part_of_axis(node, x, axis, index, 1, f"{name}_part")
    if part.array is not None:
        return Value.of(part.array.reshape(without(x.shape, (axis,))), name)
    order = kept_order(part.order, (axis,))
    rest = without(part.shape, (axis,))
    held = tuple(rest[i] for i in order)
    return node.emit(ops.Reshape(name=name, shape=held), part, order=order)


@converts("GATHER")
def gather(node: Node) -> Value:
    """Constant indices: slices, joined. (Batch dimensions are not supported.)"""
    x, indices = node.operand(0), node.operand(1)
    axis = node.axis(node.option("Axis", 0), x.rank)
    if node.option("BatchDims", 0):
        node.refuse("gathers within batches")
    if indices.array is None:
        return _embedding(node, x, indices, axis)
    wanted = indices.array.astype(np.int64)
    if wanted.size and (wanted.min() < 0 or wanted.max() >= x.shape[axis]):
        node.broken(f"indices out of {x.shape[axis]} elements")
    if x.array is not None:
        node.will_compute((*x.shape[:axis], *wanted.shape, *x.shape[axis + 1 :]))
        return node.fold(np.take(x.array, wanted, axis))
    if wanted.ndim == 0:
        return _without_axis(node, x, axis, int(wanted), node.layer)
    name = node.layer if wanted.ndim == 1 else node.helper("picked")
    picked = _picked(node, x, axis, wanted.ravel().tolist(), name)
    shape = (*x.shape[:axis], *wanted.shape, *x.shape[axis + 1 :])
    return node.reshaped(picked, shape, node.layer)


def _embedding(node: Node, table: Value, indices: Value, axis: int) -> Value:
    """Indices from the data look up rows of a constant table."""
    if table.array is None or table.rank != 2 or axis:
        node.refuse("takes the indices from the data, and not from a constant table of rows")
    order = (*indices.order, indices.rank)
    return node.emit(ops.Embedding(name=node.layer), indices, table, order=order)


def _picked(node: Node, x: Value, axis: int, indices: Sequence[int], name: str) -> Value:
    runs = _runs(indices)
    if len(runs) > MOST_PIECES:
        node.refuse(f"gathers {len(runs)} separate pieces; {MOST_PIECES} are supported")
    if len(runs) == 1:
        start, size = runs[0]
        return part_of_axis(node, x, axis, start, size, name)
    parts = [
        part_of_axis(node, x, axis, start, size, node.helper(f"piece{i}"))
        for i, (start, size) in enumerate(runs)
    ]
    return joined(node, parts, axis, name)


def _runs(indices: Sequence[int]) -> list[tuple[int, int]]:
    """Consecutive indices as (first, count)."""
    runs: list[tuple[int, int]] = []
    for index in indices:
        if runs and index == sum(runs[-1]):
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((index, 1))
    return runs
