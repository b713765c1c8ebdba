"""One primitive under all data movement: a strided copy from DRAM to DRAM.

A copy is a list of dimensions, each with a size and a stride (bytes) on both sides; the
order of the dimensions means nothing. `copy` finds the cheapest DMA commands for it: a
command reads and writes a stream of bytes, each side with four dims of its own
(FACTS_TPU 4.2), so dims may be joined on one side and not on the other. Transposes of
single bytes go through local memory, which the DMA engine fills column by column.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import permutations, product
from math import prod

import numpy as np

from cvi_tpu.chip import ChipSpec
from cvi_tpu.codegen.context import Context, View
from cvi_tpu.cost import LOAD_BEAT, LOAD_START, STORE_BEAT, STORE_START, beats
from cvi_tpu.isa.instructions import Copy, Fill, MatrixCopy
from cvi_tpu.isa.operands import Dram, Matrix, Shape4, align, ceil_div, dram_matrix

MAX_DIM = 65535
MAX_ROW_STRIDE = 65535
_MAX_ORDERED = 6
"""Dims whose every order is tried; the smallest further ones become loops."""


@dataclass(frozen=True)
class Dim:
    """One dimension of a copy: element count and byte strides of the two sides. A source
    stride of 0 repeats."""

    size: int
    source: int
    target: int


@dataclass(frozen=True)
class Place:
    """A byte address in a memory region."""

    region: int
    address: int

    def __add__(self, offset: int) -> Place:
        return replace(self, address=self.address + offset)


def place(view: View) -> Place:
    return Place(view.region, view.address)


def copy_view(ctx: Context, source: View, target: View) -> None:
    """Copy the elements of one view to another of the same shape."""
    dims = _between(source, target)
    copy(ctx, dims, place(source), place(target), source.element_bytes)


def copy(
    ctx: Context, dims: Sequence[Dim], source: Place, target: Place, element_bytes: int
) -> None:
    """Copy elements of `element_bytes`; `dims` says how they lie on both sides."""
    for plan, read, write in _plans(ctx, dims, element_bytes):
        plan.emit(ctx, source + read, target + write)


def copy_cost(ctx: Context, source: View, target: View) -> float:
    """Estimated cycles of `copy_view`."""
    return sum(
        plan.cost for plan, _, _ in _plans(ctx, _between(source, target), source.element_bytes)
    )


def _between(source: View, target: View) -> list[Dim]:
    strides = zip(source.shape, source.strides, target.strides, strict=True)
    return [Dim(*s) for s in strides]


def _plans(
    ctx: Context, dims: Sequence[Dim], element_bytes: int
) -> Iterator[tuple[Direct | Turned, int, int]]:
    """The commands of a copy with their offsets on both sides."""
    for part, read, write in bounded(simplified([*dims, Dim(element_bytes, 1, 1)])):
        yield cheapest(part, ctx.spec, ctx.lane_bytes), read, write


def fill(ctx: Context, target: View, element: bytes) -> None:
    """Write the same element everywhere in a view."""
    if len(set(element)) == 1:
        dims = [Dim(n, 0, s) for n, s in zip(target.shape, target.strides, strict=True)]
        for part, _, write in bounded(simplified([*dims, Dim(target.element_bytes, 0, 1)])):
            _filled(part).emit_fill(ctx, place(target) + write, element[0])
        return
    row = ctx.weight(np.frombuffer(element * target.shape[-1], np.uint8))
    strides = (*(0,) * (len(target.shape) - 1), target.element_bytes)
    copy_view(ctx, replace(target, region=row.region, address=row.address, strides=strides), target)


# -- normal form -------------------------------------------------------------


def simplified(dims: Sequence[Dim]) -> list[Dim]:
    """Without dims of size 1, and with those joined that continue each other on both sides."""
    rest = [d for d in dims if d.size > 1]
    while (pair := _joinable(rest)) is not None:
        outer, inner = pair
        joined = replace(rest[inner], size=rest[outer].size * rest[inner].size)
        rest = [d for i, d in enumerate(rest) if i not in pair] + [joined]
    return sorted(rest, key=lambda d: (-d.target, -d.source))


def _joinable(dims: Sequence[Dim]) -> tuple[int, int] | None:
    for i, j in permutations(range(len(dims)), 2):
        outer, inner = dims[i], dims[j]
        if (outer.source, outer.target) == (inner.source * inner.size, inner.target * inner.size):
            return i, j
    return None


def bounded(dims: Sequence[Dim]) -> Iterator[tuple[list[Dim], int, int]]:
    """Copies with all sizes in 1..65535 that make up the copy, with their offsets on both
    sides. A large dim is cut into two that nest, and a remainder if it must be."""
    large = next((i for i, d in enumerate(dims) if d.size > MAX_DIM), None)
    if large is None:
        yield list(dims), 0, 0
        return
    dim, others = dims[large], [d for i, d in enumerate(dims) if i != large]
    factor = next((f for f in range(MAX_DIM, 255, -1) if dim.size % f == 0), None)
    if factor is not None:
        outer = Dim(dim.size // factor, dim.source * factor, dim.target * factor)
        yield from bounded([outer, replace(dim, size=factor), *others])
        return
    head = dim.size - dim.size % 4096
    for start, size in ((0, head), (head, dim.size - head)):
        for part, read, write in bounded([replace(dim, size=size), *others]):
            yield part, read + start * dim.source, write + start * dim.target


# -- plans -------------------------------------------------------------------


@dataclass(frozen=True)
class Side:
    """One side of a command: dims (n, c, h, w) and byte strides for n, c and h."""

    shape: Shape4
    strides: tuple[int, int, int]

    def at(self, where: Place) -> Dram:
        return Dram(where.region, where.address, self.shape, self.strides)


@dataclass(frozen=True)
class Direct:
    """One DMA command per turn of the loops."""

    loops: tuple[Dim, ...]
    source: Side
    target: Side
    cost: float

    def emit(self, ctx: Context, source: Place, target: Place) -> None:
        for read, write in offsets(self.loops):
            ctx.emit(
                Copy(
                    source=self.source.at(source + read),
                    target=self.target.at(target + write),
                    layer=ctx.layer,
                )
            )

    def emit_fill(self, ctx: Context, target: Place, value: int) -> None:
        for _, write in offsets(self.loops):
            ctx.emit(Fill(target=self.target.at(target + write), value=value, layer=ctx.layer))


def offsets(loops: Sequence[Dim]) -> Iterator[tuple[int, int]]:
    """Byte offsets on both sides of every turn of nested loops."""
    for index in product(*(range(d.size) for d in loops)):
        pairs = list(zip(index, loops, strict=True))
        yield sum(i * d.source for i, d in pairs), sum(i * d.target for i, d in pairs)


def cheapest(dims: Sequence[Dim], spec: ChipSpec, lane_bytes: int) -> Direct | Turned:
    """The commands with the least estimated cost for a copy in normal form."""
    ordered = sorted(dims, key=lambda d: d.size)
    surplus = len(ordered) - _MAX_ORDERED
    loops, rest = (ordered[:surplus], ordered[surplus:]) if surplus > 0 else ([], ordered)
    plans: list[Direct | Turned] = []
    for order in permutations(rest):
        plan = _direct((*loops, *order))
        if plan is not None:
            plans.append(plan)
    plans += turned(dims, spec, lane_bytes)
    return min(plans, key=lambda p: p.cost)


def _direct(order: tuple[Dim, ...]) -> Direct | None:
    """The plan of a stream order: as few leading dims as possible are loops."""
    for loops in range(len(order) + 1):
        sides = _sides(order[loops:])
        if sides is None:
            continue
        source, target = sides
        nowhere = Place(0, 0)
        once = STORE_START + LOAD_BEAT * beats(source.at(nowhere))
        once += STORE_BEAT * beats(target.at(nowhere))
        return Direct(order[:loops], source, target, prod(d.size for d in order[:loops]) * once)
    return None


def _filled(dims: Sequence[Dim]) -> Direct:
    """The plan of a fill: dims in normal form, sorted by target stride."""
    ordered = sorted(dims, key=lambda d: -d.target)
    for loops in range(len(ordered) + 1):
        rest = [(d.size, d.target) for d in ordered[loops:]]
        lead = rest[0] if len(rest) > 3 else (1, 0)
        side = _side(lead, rest[1:] if len(rest) > 3 else rest)
        if side is not None:
            return Direct(tuple(ordered[:loops]), side, side, 0.0)
    raise AssertionError("a copy of one byte is always possible")


Group = tuple[int, int]
"""Joined dims: size and stride."""


def _sides(order: Sequence[Dim]) -> tuple[Side, Side] | None:
    """Both sides of one command; n must have the same size on both."""
    reads = [(d.size, d.source) for d in order]
    writes = [(d.size, d.target) for d in order]
    for lead in range(len(order) + 1):
        n_read, n_write = _joined(reads[:lead]), _joined(writes[:lead])
        if len(n_read) > 1 or len(n_write) > 1:
            return None
        one = (1, 0)
        source = _side(n_read[0] if n_read else one, reads[lead:])
        target = _side(n_write[0] if n_write else one, writes[lead:])
        if source is not None and target is not None and source.shape[0] == target.shape[0]:
            return source, target
    return None


def _joined(dims: Sequence[Group]) -> list[Group]:
    """Dims of one side, outermost first, with neighbours joined that continue each other."""
    groups: list[Group] = []
    for size, stride in reversed(dims):
        if groups and stride == groups[-1][0] * groups[-1][1] and size * groups[-1][0] <= MAX_DIM:
            groups[-1] = (groups[-1][0] * size, groups[-1][1])
        else:
            groups.append((size, stride))
    return groups[::-1]


def _side(n: Group, dims: Sequence[Group]) -> Side | None:
    """n and the groups of the other dims as one side, None when they are too many."""
    groups = _joined(dims)
    w = groups.pop()[0] if groups and groups[-1][1] == 1 else 1
    if len(groups) > 2:
        return None
    h, h_stride = groups.pop() if len(groups) == 2 else (1, w)
    if h_stride > MAX_ROW_STRIDE:
        return None
    c, c_stride = groups.pop() if groups else (1, h * h_stride)
    size, n_stride = n if n[0] > 1 else (1, c * c_stride)
    return Side((size, c, h, w), (n_stride, c_stride, h_stride))


# -- transposes of bytes -------------------------------------------------------


@dataclass(frozen=True)
class Turned:
    """A byte transpose through local memory.

    rows: contiguous on the target side; columns: contiguous on the source side. A tile of
    `tile` (rows, columns) is loaded turned round and stored as it then lies.
    """

    loops: tuple[Dim, ...]
    rows: Dim
    columns: Dim
    tile: tuple[int, int]
    lanes: int
    cost: float

    def emit(self, ctx: Context, source: Place, target: Place) -> None:
        for read, write in offsets(self.loops):
            for row in range(0, self.rows.size, self.tile[0]):
                for column in range(0, self.columns.size, self.tile[1]):
                    start_read = read + row * self.rows.source + column
                    start_write = write + row + column * self.columns.target
                    self._tile(ctx, source + start_read, target + start_write, row, column)

    def _tile(self, ctx: Context, source: Place, target: Place, row: int, column: int) -> None:
        rows = min(self.tile[0], self.rows.size - row)
        columns = min(self.tile[1], self.columns.size - column)
        local = local_matrix(columns, rows, self.lanes)
        read = _rows(source, rows, columns, self.rows.source)
        write = _rows(target, columns, rows, self.columns.target)
        ctx.emit(MatrixCopy(source=read, target=local, transposed=True, layer=ctx.layer))
        ctx.emit(MatrixCopy(source=local, target=write, layer=ctx.layer))


def _rows(where: Place, rows: int, columns: int, stride: int) -> Dram:
    """A matrix in DRAM as the operand of a matrix copy."""
    row_stride = stride if rows > 1 else None
    return dram_matrix(where.region, where.address, rows, columns, row_stride=row_stride)


def local_matrix(rows: int, columns: int, lanes: int) -> Matrix:
    """A byte matrix at address 0 with its columns spread over the lanes (FACTS_TPU 2.2)."""
    w = 16 * ceil_div(columns, 16 * lanes) if columns >= 16 else columns
    c = ceil_div(columns, w)
    group = align(w, 16)
    return Matrix(0, rows, columns, c, w, (group * ceil_div(c, lanes), group))


def turned(dims: Sequence[Dim], spec: ChipSpec, lane_bytes: int) -> list[Direct | Turned]:
    """Ways to do a copy by transposing matrices in local memory."""
    found: list[Direct | Turned] = []
    for i, j in permutations(range(len(dims)), 2):
        rows, columns = dims[i], dims[j]
        if rows.target != 1 or columns.source != 1 or rows.source < 1 or columns.target < 1:
            continue
        loops = tuple(d for k, d in enumerate(dims) if k not in (i, j))
        for width in {min(rows.size, spec.lanes * 16 * k) for k in (1, 2, 4, 8)}:
            plan = _turned(loops, rows, columns, width, spec, lane_bytes)
            if plan is not None:
                found.append(plan)
    return found


def _turned(
    loops: tuple[Dim, ...], rows: Dim, columns: Dim, width: int, spec: ChipSpec, lane_bytes: int
) -> Turned | None:
    row_bytes = local_matrix(1, width, spec.lanes).strides[0]
    height = min(columns.size, lane_bytes // row_bytes)
    if height < 1:
        return None
    tiles = prod(d.size for d in loops) * ceil_div(rows.size, width)
    tiles *= ceil_div(columns.size, height)
    nowhere = Place(0, 0)
    load = beats(_rows(nowhere, width, height, rows.source))
    store = beats(_rows(nowhere, height, width, columns.target))
    once = LOAD_START + LOAD_BEAT * load + STORE_START + STORE_BEAT * store
    return Turned(loops, rows, columns, (width, height), spec.lanes, tiles * once)
