"""Boxes of tensors, and which part of an input a part of an output needs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cvi.errors import UnsupportedError
from cvi_tpu.isa.operands import Shape4, ceil_div


@dataclass(frozen=True)
class Range:
    """Indices start .. start+size-1 of one dimension."""

    start: int
    size: int

    @property
    def stop(self) -> int:
        return self.start + self.size


@dataclass(frozen=True)
class Box:
    """A part of a tensor (n, c, h, w)."""

    n: Range
    c: Range
    h: Range
    w: Range

    @property
    def starts(self) -> Shape4:
        return (self.n.start, self.c.start, self.h.start, self.w.start)

    @property
    def shape(self) -> Shape4:
        return (self.n.size, self.c.size, self.h.size, self.w.size)


@dataclass(frozen=True)
class Reach:
    """What one output range needs of an input dimension: real elements and padding."""

    range: Range
    before: int
    after: int


@dataclass(frozen=True)
class Axis:
    """How a window walks along one dimension of `length` input elements.

    insert: elements between neighbours; before, after: padding; window: extent of the
    kernel with dilation, (kernel - 1) * dilation + 1.
    """

    length: int
    window: int
    stride: int
    before: int
    after: int
    insert: int = 0

    @property
    def output(self) -> int:
        expanded = (self.length - 1) * (self.insert + 1) + 1
        return (expanded + self.before + self.after - self.window) // self.stride + 1

    def reach(self, out: Range) -> Reach | None:
        """The input that an output range needs; None when it lies wholly in padding."""
        first = out.start * self.stride - self.before
        last = (out.stop - 1) * self.stride - self.before + self.window - 1
        step = self.insert + 1
        start = max(ceil_div(first, step), 0)
        stop = min(last // step, self.length - 1) + 1
        if stop <= start:
            return None
        return Reach(Range(start, stop - start), start * step - first, last - (stop - 1) * step)

    def most(self, size: int) -> int:
        """Most input elements that an output range of `size` can need."""
        span = (size - 1) * self.stride + self.window
        return min(ceil_div(span, self.insert + 1), self.length)


def split(length: int, step: int) -> list[Range]:
    """[0, length) in ranges of `step`, the last one possibly shorter."""
    return [Range(i, min(step, length - i)) for i in range(0, length, step)]


def split_reaching(axis: Axis, step: int) -> list[Range]:
    """Output ranges of about `step` that each need at least one real input element.

    Ranges that lie wholly in padding are joined to a neighbour, because an instruction
    cannot have an empty input.
    """
    ranges: list[Range] = []
    pending = 0
    for part in split(axis.output, step):
        start, stop = part.start - pending, part.stop
        joined = Range(start, stop - start)
        if axis.reach(joined) is None:
            pending = joined.size
            continue
        ranges.append(joined)
        pending = 0
    if pending and ranges:
        last = ranges.pop()
        ranges.append(Range(last.start, last.size + pending))
    if not ranges:
        raise UnsupportedError(
            "every window lies wholly in padding", fix="the layer is a constant: remove it"
        )
    return ranges


def sizes(length: int, limit: int | None = None, unit: int = 1) -> Iterator[int]:
    """Sensible tile sizes for a dimension, largest first, each well below the one before.

    Sizes are ceil(length / parts) rounded up to `unit` (but never above length), so that
    the parts are of nearly equal size; none is above `limit`.
    """
    parts, previous = ceil_div(length, limit) if limit else 1, 2 * length
    while True:
        size = min(ceil_div(ceil_div(length, parts), unit) * unit, length)
        fits = limit is None or size <= limit
        if fits and (4 * size <= 3 * previous or (size <= unit and size < previous)):
            yield size
            previous = size
        if size <= unit:
            return
        parts = max(parts + 1, ceil_div(length, size - 1))
