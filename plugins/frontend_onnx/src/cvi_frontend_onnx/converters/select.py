"""Parts of tensors: slice, split, gather; and padding, its opposite."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cvi import ops
from cvi.ir import Array
from cvi_frontend_onnx.node import Node
from cvi_frontend_onnx.registry import converts
from cvi_frontend_onnx.values import Value, as_fp32

MAX_PARTS = 512
"""Pieces that a gather at irregular indices may cut the data into: each is a copy."""


def cut(name: str, node: Node, x: Value, ranges: Sequence[range]) -> Value:
    """The elements of x at these (ascending) positions per dimension, as a layer `name`."""
    op = ops.Slice(
        name=name,
        starts=tuple(r.start for r in ranges),
        sizes=tuple(len(r) for r in ranges),
        steps=tuple(r.step for r in ranges),
    )
    return node.emit(op, x)


def whole(x: Value) -> list[range]:
    return [range(size) for size in x.shape]


def pick(name: str, node: Node, x: Value, axis: int, positions: Sequence[int]) -> Value:
    """The elements of x at these positions along one axis, as a layer `name`: a slice, or
    several joined when the positions do not ascend in equal steps."""
    if not positions:
        node.refuse("takes nothing from the data")
    runs = _runs(positions)
    if len(runs) > MAX_PARTS:
        node.refuse(f"takes the data apart into {len(runs)} pieces; at most {MAX_PARTS} can be")
    ranges = whole(x)
    parts = []
    for i, run in enumerate(runs):
        ranges[axis] = run
        part = name if len(runs) == 1 else f"{name}_part{i}"
        parts.append(cut(part, node, x, ranges))
    return parts[0] if len(parts) == 1 else node.emit(ops.Concat(name=name, axis=axis), *parts)


def _runs(positions: Sequence[int]) -> list[range]:
    """The positions as few ascending ranges, taken greedily from the first on."""
    runs, start = [], 0
    while start < len(positions):
        end, first = start + 1, positions[start]
        step = positions[end] - first if end < len(positions) else 0
        while step > 0 and end < len(positions) and positions[end] - positions[end - 1] == step:
            end += 1
        runs.append(range(first, positions[end - 1] + 1, step if end - start > 1 else 1))
        start = end
    return runs


@converts("Slice")
def slice_(node: Node) -> Value:
    x = node.operand(0)
    starts, ends, axes, steps = _bounds(node, x)
    indices = [slice(None)] * x.rank
    for axis, start, end, step in zip(
        node.axes_in_order(axes, x.rank), starts, ends, steps, strict=True
    ):
        if step == 0:
            node.broken("a step is 0")
        indices[axis] = _python_slice(start, end, step, x.shape[axis])
    if x.array is not None:
        return node.fold(x.array[tuple(indices)])
    ranges = [range(*i.indices(size)) for i, size in zip(indices, x.shape, strict=True)]
    if not all(map(len, ranges)):
        node.refuse("its result is empty")
    turned = [axis for axis, r in enumerate(ranges) if r.step < 0 and len(r) > 1]
    ranges = [r if r.step > 0 else r[::-1] for r in ranges]
    if not turned:
        return cut(node.layer, node, x, ranges)
    if ranges != whole(x):
        x = cut(node.helper("slice"), node, x, ranges)
    for axis in turned:
        name = node.layer if axis == turned[-1] else node.helper(f"axis{axis}")
        x = node.emit(ops.Reverse(name=name, axis=axis), x)
    return x


def _python_slice(start: int, end: int, step: int, size: int) -> slice:
    """ONNX counts negative bounds from the end once; behind that they are clamped."""
    start = start + size if start < 0 else start
    end = end + size if end < 0 else end
    if step > 0:
        return slice(min(max(start, 0), size), min(max(end, 0), size), step)
    start, end = min(max(start, 0), size - 1), min(max(end, -1), size - 1)
    return slice(start, None if end < 0 else end, step)


def _bounds(node: Node, x: Value) -> tuple[Sequence[int], ...]:
    """starts, ends, axes, steps: attributes before opset 10, then operands."""
    if node.opset < 10:
        starts, ends = node.attributes.ints("starts"), node.attributes.ints("ends")
        axes: Sequence[int] = node.attributes.ints("axes", range(len(starts)))
        return starts, ends, axes, (1,) * len(starts)
    starts, ends = node.integers(1, "a start"), node.integers(2, "an end")
    axes = range(len(starts)) if node.optional(3) is None else node.integers(3, "an axis")
    steps = (1,) * len(starts) if node.optional(4) is None else node.integers(4, "a step")
    if not len(starts) == len(ends) == len(axes) == len(steps):
        node.broken("starts, ends, axes and steps differ in length")
    return starts, ends, axes, steps


@converts("ReverseSequence")
def reverse_sequence(node: Node) -> Value:
    """Only sequences that fill the whole axis."""
    x, lengths = node.operand(0), node.integers(1, "the lengths")
    axis = node.axis(node.attributes.integer("time_axis", 0), x.rank)
    batch = node.axis(node.attributes.integer("batch_axis", 1), x.rank)
    if axis == batch:
        node.broken(f"time and batch are both axis {axis}")
    if set(lengths) != {x.shape[axis]}:
        node.refuse(f"sequences are shorter than the {x.shape[axis]} elements of their axis")
    return node.emit(ops.Reverse(name=node.layer, axis=axis), x)


@converts("Split")
def split(node: Node) -> list[Value]:
    x = node.operand(0)
    axis = node.axis(node.attributes.integer("axis", 0), x.rank)
    sizes = _split_sizes(node, x.shape[axis])
    if len(sizes) != len(node.outputs) or sum(sizes) != x.shape[axis] or min(sizes) < 0:
        node.broken(f"parts of {sizes} for {len(node.outputs)} outputs and {x.shape[axis]} slices")
    parts, start = [], 0
    for output, size in enumerate(sizes):
        parts.append(_part(node, x, output, axis, range(start, start + size)))
        start += size
    return parts


def _part(node: Node, x: Value, output: int, axis: int, part: range) -> Value:
    if x.array is not None:
        indices = [slice(None)] * x.rank
        indices[axis] = slice(part.start, part.stop)
        return Value.of(x.array[tuple(indices)], node.outputs[output])
    if not node.outputs[output]:
        return x  # nobody reads it
    if not part:
        node.refuse("a part is empty")
    ranges = whole(x)
    ranges[axis] = part
    return cut(node.layer_of(output), node, x, ranges)


def _split_sizes(node: Node, size: int) -> tuple[int, ...]:
    """An attribute before opset 13, then an operand; or equal parts, the last one smaller."""
    if node.opset < 13 and "split" in node.attributes:
        return node.attributes.ints("split")
    if node.opset >= 13 and node.optional(1) is not None:
        return node.integers(1, "the split")
    count = node.attributes.integer("num_outputs", len(node.outputs))
    if count < 1 or count != len(node.outputs):
        node.broken(f"num_outputs is {count} but there are {len(node.outputs)} outputs")
    part = -(-size // count)
    return (*(part,) * (count - 1), size - part * (count - 1))


@converts("Gather")
def gather(node: Node) -> Value:
    x = node.operand(0)
    axis = node.axis(node.attributes.integer("axis", 0), x.rank)
    if node.operand(1).dtype.kind not in "iu":
        node.broken("the indices are no integers")
    if x.array is not None and node.operand(1).array is None:
        return _looked_up(node, x, x.array, axis)
    indices = node.constant(1, "the indices")
    if indices.size and (indices.min() < -x.shape[axis] or indices.max() >= x.shape[axis]):
        node.broken(f"an index is outside of the {x.shape[axis]} elements")
    if x.array is not None:
        node.will_compute(x.shape[:axis] + indices.shape + x.shape[axis + 1 :])
        return node.fold(np.take(x.array, indices, axis=axis))
    return _gathered(node, x, axis, indices)


def _looked_up(node: Node, x: Value, array: Array, axis: int) -> Value:
    """Slices of a constant along an axis, at indices from the data: rows of a table."""
    indices = node.operand(1)
    if not x.is_float:
        node.refuse(f"looks up constants of type {x.dtype}")
    if not x.elements:
        node.broken("looks up in an empty constant")
    rest = x.shape[:axis] + x.shape[axis + 1 :]
    table = np.moveaxis(array, axis, 0).reshape(x.shape[axis], -1)
    plain, ordered = len(rest) == 1, axis == 0
    name = node.layer if plain and ordered else node.helper("rows")
    y = node.emit(ops.Embedding(name=name), indices, Value.of(as_fp32(table), x.name))
    if not plain:
        name = node.layer if ordered else node.helper("slices")
        y = node.emit(ops.Reshape(name=name, shape=indices.shape + rest), y)
    if ordered:
        return y
    count = indices.rank
    order = (*range(count, count + axis), *range(count), *range(count + axis, y.rank))
    return node.emit(ops.Permute(name=node.layer, order=order), y)


def _gathered(node: Node, x: Value, axis: int, indices: Array) -> Value:
    """Indices of any rank into one axis of data."""
    positions = [int(i) % x.shape[axis] for i in indices.ravel()]
    if indices.ndim == 1:
        return pick(node.layer, node, x, axis, positions)
    shape = x.shape[:axis] + tuple(indices.shape) + x.shape[axis + 1 :]
    part = pick(node.helper("slice"), node, x, axis, positions)
    return node.emit(ops.Reshape(name=node.layer, shape=shape), part)


@converts("GatherND")
def gather_nd(node: Node) -> Value:
    """On data: indices into the first dimension, as PyTorch writes x[[3, 1]], or a grid of
    rows and columns as in x[rows[:, None], columns]."""
    from cvi_frontend_onnx.constants import evaluate_node

    x, indices = node.operand(0), node.constant(1, "the indices")
    if x.array is not None:
        return node.fold(evaluate_node(node, [x.array, indices])[0])
    depth = indices.shape[-1] if indices.ndim else 0
    if node.attributes.integer("batch_dims", 0) or not 1 <= depth <= x.rank or not indices.size:
        node.refuse("gathers data at indices into several dimensions")
    sizes = np.array(x.shape[:depth])
    if np.any(indices < -sizes) or np.any(indices >= sizes):
        node.broken(f"an index is outside of {x.shape}")
    if depth == 1:
        return _gathered(node, x, 0, indices[..., 0])
    return _grid(node, x, indices % sizes)


def _grid(node: Node, x: Value, indices: Array) -> Value:
    """Every combination of positions along the first dimensions."""
    depth = indices.shape[-1]
    picked = [
        [int(i) for i in np.moveaxis(indices[..., axis], axis, 0).reshape(len_, -1)[:, 0]]
        for axis, len_ in enumerate(indices.shape[:-1])
    ]
    regular = len(picked) == depth and np.array_equal(
        np.stack(np.meshgrid(*picked, indexing="ij"), -1), indices
    )
    if not regular:
        node.refuse("gathers data at indices into several dimensions that form no grid")
    for axis, positions in enumerate(picked):
        name = node.layer if axis == depth - 1 else node.helper(f"axis{axis}")
        x = pick(name, node, x, axis, positions)
    return x


@converts("GatherElements")
def gather_elements(node: Node) -> Value:
    x, indices = node.arrays()
    axis = node.axis(node.attributes.integer("axis", 0), x.ndim)
    if indices.size and (indices.min() < -x.shape[axis] or indices.max() >= x.shape[axis]):
        node.broken(f"an index is outside of the {x.shape[axis]} elements")
    same = [slice(0, size) for size in indices.shape]
    same[axis] = slice(None)
    return node.fold(np.take_along_axis(x[tuple(same)], indices % x.shape[axis], axis))


@converts("Pad")
def pad(node: Node) -> Value:
    """Negative pads crop first."""
    x, mode = node.operand(0), node.attributes.string("mode", "constant")
    before, after, value = _pads(node, x)
    if mode == "wrap" and x.array is None:
        return _wrapped(node, x, before, after)
    if mode not in ("constant", "edge", "reflect"):
        node.refuse(f"the mode {mode!r} is not supported")
    if min(*before, *after) < 0:
        if mode != "constant":
            node.refuse(f"crops in the mode {mode!r}")
        x = _cropped(node, x, before, after)
        before, after = [max(p, 0) for p in before], [max(p, 0) for p in after]
    if x.grid is not None:
        value = (value - x.grid.zero) * x.grid.scale
    op = ops.Pad(name=node.layer, before=tuple(before), after=tuple(after), mode=mode, value=value)
    if x.array is not None and not x.is_float:
        node.will_compute(tuple(map(sum, zip(before, x.shape, after, strict=True))))
        widths = list(zip(before, after, strict=True))
        if mode == "constant":
            return node.fold(np.pad(x.array, widths, constant_values=int(value)))
        return node.fold(np.pad(x.array, widths, mode=mode))  # type: ignore[call-overload]
    return node.emit(op, x)


def _wrapped(node: Node, x: Value, before: Sequence[int], after: Sequence[int]) -> Value:
    """The tensor repeated without end along every axis, cut to the new size."""
    axes = [axis for axis in range(x.rank) if before[axis] or after[axis]]
    for axis in axes:
        size = x.shape[axis]
        positions = [i % size for i in range(-before[axis], size + after[axis])]
        name = node.layer if axis == axes[-1] else node.helper(f"axis{axis}")
        x = pick(name, node, x, axis, positions)
    return x


def _pads(node: Node, x: Value) -> tuple[list[int], list[int], float]:
    """before, after, value: attributes before opset 11, then operands (axes since 18)."""
    if node.opset < 11:
        widths = node.attributes.ints("pads")
        value = node.attributes.number("value", 0.0)
        axes: Sequence[int] = range(x.rank)
    else:
        widths = node.integers(1, "the padding")
        filler = node.optional_constant(2, "the value")
        value = 0.0 if filler is None or not filler.size else float(filler.ravel()[0])
        axes = range(x.rank) if node.optional(3) is None else node.integers(3, "an axis")
    if not x.rank or len(widths) != 2 * len(axes):
        node.broken(f"has {len(widths)} pads for {len(axes)} axes")
    before, after = [0] * x.rank, [0] * x.rank
    for i, axis in enumerate(node.axes_in_order(axes, x.rank)):
        before[axis], after[axis] = widths[i], widths[i + len(axes)]
    return before, after, value


def _cropped(node: Node, x: Value, before: Sequence[int], after: Sequence[int]) -> Value:
    ranges = [
        range(max(-b, 0), size - max(-a, 0))
        for b, size, a in zip(before, x.shape, after, strict=True)
    ]
    if not all(map(len, ranges)):
        node.refuse("crops everything")
    return cut(node.helper("crop"), node, x, ranges)
