"""Strided slices, with all their masks."""

from __future__ import annotations

from collections.abc import Sequence
from types import EllipsisType

from cvi.ir import Shape
from cvi_frontend_tflite.converters.select import cut, reversed_along
from cvi_frontend_tflite.node import Node
from cvi_frontend_tflite.registry import converts
from cvi_frontend_tflite.values import Value

_Entry = slice | int | EllipsisType | None
"""As numpy writes an index; None makes a new dimension."""


@converts("STRIDED_SLICE")
def strided_slice(node: Node) -> Value:
    x, entries = node.operand(0), _entries(node)
    if x.array is not None:
        return node.fold(x.array[tuple(entries)])
    return _of_data(node, x, _spread(node, entries, x.rank))


def _entries(node: Node) -> list[_Entry]:
    begin, end, steps = (node.integers(i, "the range") for i in (1, 2, 3))
    if not len(begin) == len(end) == len(steps) or 0 in steps:
        node.broken(f"begin {begin}, end {end} and steps {steps} do not fit")
    if node.option("Offset", False):
        end = tuple(a + b for a, b in zip(begin, end, strict=True))
    masks = {name: node.option(f"{name}Mask", 0) for name in _MASKS}
    return [_entry(masks, i, begin[i], end[i], steps[i]) for i in range(len(begin))]


_MASKS = ("Begin", "End", "Ellipsis", "NewAxis", "ShrinkAxis")


def _entry(masks: dict[str, int], i: int, begin: int, end: int, step: int) -> _Entry:
    bit = 1 << i
    if masks["Ellipsis"] & bit:
        return Ellipsis
    if masks["NewAxis"] & bit:
        return None
    if masks["ShrinkAxis"] & bit:
        return begin
    return slice(None if masks["Begin"] & bit else begin, None if masks["End"] & bit else end, step)


def _spread(node: Node, entries: Sequence[_Entry], rank: int) -> list[slice | int | None]:
    """One entry per dimension, without an ellipsis."""
    taken = sum(isinstance(entry, (slice, int)) for entry in entries)
    dots = [i for i, entry in enumerate(entries) if entry is Ellipsis]
    if taken > rank or len(dots) > 1:
        node.broken(f"{taken} ranges for {rank} dimensions")
    place = dots[0] if dots else len(entries)
    before, after = entries[:place], entries[place + 1 :]
    full: list[_Entry] = [*before, *[slice(None)] * (rank - taken), *after]
    return [entry for entry in full if not isinstance(entry, EllipsisType)]


def _of_data(node: Node, x: Value, entries: Sequence[slice | int | None]) -> Value:
    starts, sizes, steps, backwards = [], [], [], []
    for i, entry in enumerate(entry for entry in entries if entry is not None):
        start, size, step = _range(node, x, i, entry)
        backwards += [i] if step < 0 else []
        starts.append(start + (size - 1) * step if step < 0 else start)
        sizes.append(size)
        steps.append(abs(step))
    shape = _final_shape(entries, sizes)
    last = not backwards and shape == tuple(sizes)
    part = cut(node, x, starts, tuple(sizes), node.layer if last else node.helper("part"), steps)
    return node.reshaped(reversed_along(node, part, backwards), shape, node.layer)


def _range(node: Node, x: Value, axis: int, entry: slice | int) -> tuple[int, int, int]:
    """First element, count and step along an axis."""
    length = x.shape[axis]
    if isinstance(entry, int):
        return node.axis(entry, length), 1, 1
    if axis == 0 and node.batch is not None and entry == slice(0, node.batch[0], 1):
        return 0, length, 1  # the model's own batch stands for the new one
    taken = range(*entry.indices(length))
    if not len(taken):
        node.broken(f"takes nothing of {length} elements")
    return taken.start, len(taken), taken.step


def _final_shape(entries: Sequence[slice | int | None], sizes: Sequence[int]) -> Shape:
    """The sizes, without the axes of single indices and with the new ones."""
    left = iter(sizes)
    shape = []
    for entry in entries:
        size = 1 if entry is None else next(left)
        if not isinstance(entry, int):
            shape.append(size)
    return tuple(shape)
