"""Cuts an op into tiles that fit local memory and orders loads, computing and stores.

A `TiledOp` says what a tile needs and how it is computed; everything else is decided
here: the tile sizes and the order of the loops (by estimated cost), the place of every
operand in local memory, double buffering, and which load can be saved because its
content is still there. Waits between the engines are not this module's business:
`Program` derives them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from math import inf, prod

from cvi.errors import UnsupportedError
from cvi.ir import Op
from cvi_tpu.chip import ChipSpec
from cvi_tpu.codegen.context import BF16_BYTES, Context, View
from cvi_tpu.codegen.tiling import Box, Range, sizes, split
from cvi_tpu.cost import cycles
from cvi_tpu.isa.instructions import Copy, Instruction, Tdma
from cvi_tpu.isa.operands import Dram, Local, Shape4, align, ceil_div, local_strides

#: Estimated cost of a transfer: cycles to start, cycles per 16-byte beat (FACTS_COST 2).
LOAD_START, LOAD_BEAT = 120.0, 1.66
STORE_START, STORE_BEAT = 78.0, 1.54


@dataclass(frozen=True)
class Load:
    """Something that must be in local memory before a tile is computed.

    key: equal keys in one slot mean equal content. depends: the loops ("n", "c", "h",
    "w", "k") that change the content.
    """

    slot: str
    key: Hashable
    source: Dram
    target: Local
    depends: str

    @property
    def bytes(self) -> int:
        return tile_bytes(self.target)


@dataclass(frozen=True)
class Tile:
    """One piece of the output; `k` is the part of the reduction that is summed up."""

    box: Box
    k: Range
    first: bool = True
    last: bool = True


@dataclass(frozen=True)
class Cut:
    """Tile sizes, and the loops from the outermost to the innermost."""

    n: int
    c: int
    h: int
    w: int
    k: int
    order: str

    def size(self, dim: str) -> int:
        return int(getattr(self, dim))


@dataclass(frozen=True)
class Part:
    """The part of an operand that a tile needs. depends: as in `Load`."""

    box: Box
    depends: str


class TiledOp(ABC):
    """An op as the planner sees it.

    name, operands: of the result and of the activations it is computed from; sources and
    target: where they live in DRAM. output: extents (n, c, h, w) of the result, the dims of
    `target` unless they are given.
    reduction: extent of the summed dimension that may be cut (1 when there is none).
    prefers_overlap: a smaller part of the reduction may be better than the largest that fits
    if it leaves room for double buffering.
    element_bytes: of the result, 1 or 2 (BF16). strict: the instructions need operands in
    default layout. repeats_channels: an operand with one channel stands for all channels of
    the result. converts: operands are loaded as elements of the result's type.
    """

    reduction: int = 1
    prefers_overlap: bool = False
    orders: tuple[str, ...] = ("nchwk",)
    strict: bool = True
    repeats_channels: bool = False
    converts: bool = False

    def __init__(
        self,
        ctx: Context,
        op: Op,
        sources: Sequence[View] = (),
        target: View | None = None,
        output: Shape4 | None = None,
    ) -> None:
        self.ctx, self.spec, self.layer = ctx, ctx.spec, ctx.layer
        self.name, self.operands = op.name, op.inputs[: max(1, len(sources))]
        self.sources = tuple(sources) or (ctx.view(op.inputs[0]),)
        self.target = target or ctx.view(op.name)
        self.element_bytes = self.target.element_bytes
        n, c, h, w = output or self.target.shape
        self.output: Shape4 = (n, c, h, w)

    # -- what a kernel says ---------------------------------------------------

    @abstractmethod
    def parts(self, tile: Tile) -> list[Part]:
        """What a tile needs of every operand."""

    @abstractmethod
    def emit(
        self, tile: Tile, result: Local, operands: Sequence[Local], at: Mapping[str, int]
    ) -> Sequence[Instruction]:
        """The instructions of a tile whose operands are in local memory; `at` gives the
        address of every constant's slot."""

    @abstractmethod
    def cycles(self, tile: Tile) -> float:
        """Estimated cycles of computing a tile."""

    def constants(self, tile: Tile) -> list[Load]:
        """Weights and tables of a tile."""
        del tile
        return []

    def prepare(self, slot: str, tile: Tile, at: Mapping[str, int]) -> Sequence[Instruction]:
        """What turns the content of a slot that a tile has just loaded into what is computed
        with; not repeated for the tiles after it that find the content there."""
        del slot, tile, at
        return ()

    def planes(self, cut_k: bool) -> int:
        """Byte planes that the result occupies while it is computed."""
        del cut_k
        return 1

    def ranges(self, dim: str, size: int) -> list[Range]:
        """How one dimension of the result (or "k", the reduction) is cut."""
        extent = self.reduction if dim == "k" else self.output["nchw".index(dim)]
        return split(extent, size)

    def reaches(self, box: Box) -> bool:
        """Whether a box of the result needs any input, not only padding."""
        del box
        return True

    def appetite(self, dim: str, part: Range) -> int:
        """How much of the input a range of the result needs, in elements along `dim`."""
        del dim
        return part.size

    def depths(self) -> list[int]:
        """Sizes worth trying for a part of the reduction, large ones first. The order of BF16
        sums is fixed by the op, and so is this."""
        most = self.spec.max_size // self.spec.lanes * self.spec.lanes
        return list(sizes(self.reduction, most, self.units()["k"]))

    def spaces(
        self, ns: Sequence[int], hs: Sequence[int], ws: Sequence[int]
    ) -> list[tuple[int, int, int]]:
        """Which of these tile sizes along n, h and w go together: whole images before rows,
        rows before columns."""
        found = [(n, hs[0], ws[0]) for n in ns]
        found += [(1, h, ws[0]) for h in hs[1:]]
        return found + [(1, h, w) for w in ws[1:] for h in hs[-3:]]

    def units(self) -> Mapping[str, int]:
        """Granularity of tile sizes per dimension (default 1; lanes for c and k)."""
        return {"c": self.spec.lanes, "k": self.spec.lanes}

    def signature(self) -> Hashable:
        """What the costs of all cuts depend on: ops with equal signatures share a plan."""
        views = [
            (view.shape, view.strides[view.shape[0] == 1 :], view.element_bytes)
            for view in self.sources
        ]
        target = (self.target.strides[self.output[0] == 1 :], self.element_bytes)
        return (type(self), self.layer_signature(), tuple(views), self.output, target)

    def layer_signature(self) -> Hashable:
        """The part of the signature that a kernel's own attributes make."""
        return None

    # -- what follows from it -------------------------------------------------

    def rounds(self, box: Box) -> int:
        """Passes over the lanes and execution units that a result needs (FACTS_COST 1)."""
        n, c, h, w = box.shape
        at_once = self.spec.eu_bytes // self.element_bytes
        return n * ceil_div(c, self.spec.lanes) * ceil_div(h * w, at_once)

    def local(self, address: int, shape: Shape4, element_bytes: int = 0) -> Local:
        """A tile as the op's instructions want it: in default layout; of the result's element
        type unless said otherwise."""
        size = element_bytes or self.element_bytes
        strides = local_strides(shape, self.spec.lanes, element_bytes=size)
        return Local(address, shape, strides, bf16=size == BF16_BYTES)

    def transfer(self, source: Local | Dram, target: Local | Dram) -> Tdma:
        """The instruction that brings a tile into local memory or a result out of it."""
        return Copy(source=source, target=target, layer=self.layer)

    def loads(self, tile: Tile) -> list[Load]:
        """Operands and constants of a tile."""
        found = [self.load(i, part, tile) for i, part in enumerate(self.parts(tile))]
        return found + self.constants(tile)

    def load(self, index: int, part: Part, tile: Tile) -> Load:
        """The load of an operand's part."""
        del tile
        box, view = part.box, self.sources[index]
        key = (box.starts, box.shape)
        dram = view.window(box.starts, box.shape).dram()
        size = self.element_bytes if self.converts else view.element_bytes
        return Load(f"in{index}", key, dram, self.local(0, box.shape, size), part.depends)

    def store(self, box: Box) -> Dram:
        """Where a finished box of the result goes in DRAM."""
        return self.target.window(box.starts, box.shape).dram()

    def compute(self, tile: Tile, at: Mapping[str, int]) -> Sequence[Instruction]:
        """The instructions of a tile; `at` gives the address of every slot."""
        operands = [
            replace(load.target, address=at[load.slot])
            for load in self.loads(tile)
            if load.slot.startswith("in")
        ]
        return self.emit(tile, self.local(at["out"], tile.box.shape), operands, at)


Tiling = Callable[[Op, Context], "TiledOp | None"]

TILINGS: dict[type[Op], Tiling] = {}


def tiles(*kinds: type[Op]) -> Callable[[Tiling], Tiling]:
    """Register the decorated function as the way these ops become a `TiledOp` that can be
    fused with others; it returns None when this one cannot."""

    def register(function: Tiling) -> Tiling:
        for kind in kinds:
            TILINGS[kind] = function
        return function

    return register


def tile_bytes(tensor: Local) -> int:
    """Bytes per lane that a local tensor occupies, in units of 16."""
    return align(tensor.shape[0] * tensor.strides[0], 16)


def beats(dram: Dram) -> int:
    """16-byte beats of a DRAM access: one or more for each contiguous run (FACTS_COST 2)."""
    n, c, h, w = dram.shape
    run, count = w * dram.element_bytes, n * c * h
    for dim, stride in ((h, dram.strides[2]), (c, dram.strides[1]), (n, dram.strides[0])):
        if dim > 1 and stride != run:
            break
        run, count = run * dim, count // dim
    return count * ceil_div(run, 16)


# -- choosing a cut ---------------------------------------------------------


@dataclass(frozen=True)
class Slot:
    """Room for one operand: `copies` buffers of `bytes` per lane."""

    bytes: int
    copies: int


@dataclass(frozen=True)
class Plan:
    """A chosen cut with the room for every slot. overlaps: what a tile needs is loaded while
    the one before is computed."""

    cut: Cut
    slots: Mapping[str, Slot]
    cost: float
    overlaps: bool


def plan(op: TiledOp) -> Plan:
    """The cheapest cut that fits. UnsupportedError when nothing does."""
    key = (op.ctx.lane_bytes, op.signature())
    known = op.ctx.plans.get(key)
    if known is None:
        known = op.ctx.plans[key] = _search(op)
    return known


def _search(op: TiledOp) -> Plan:
    best: Plan | None = None
    divisions = _Divisions(op)
    for deeper in candidates(op):
        for tile_sizes in deeper:
            footprint = measure(op, divisions, tile_sizes)
            fitted = None if footprint is None else fit_best(op, footprint, tile_sizes)
            if fitted is not None and (best is None or fitted.cost < best.cost):
                best = fitted
            if fitted is not None and (fitted.overlaps or not op.prefers_overlap):
                break
    if best is None:
        raise UnsupportedError(
            "no tile of this layer fits into the chip's local memory",
            fix="make the kernel window or the layer smaller",
        )
    return best


def fit_best(op: TiledOp, footprint: Footprint, tile_sizes: Sizes) -> Plan | None:
    """The best order of loops for a footprint, with double buffering where that fits."""
    found = []
    for order in op.orders:
        double = fit(op, footprint, tile_sizes, order, 2)
        fitted = double or fit(op, footprint, tile_sizes, order, 1)
        if fitted is not None:
            found.append(fitted)
    return min(found, key=lambda one: one.cost, default=None)


Sizes = tuple[int, int, int, int, int]


@dataclass(frozen=True)
class Division:
    """The ranges of a dimension for one tile size: how many, the longest, and the one that
    needs most of the input (the longest one may lie in padding)."""

    count: int
    longest: Range
    hungriest: Range


class _Divisions:
    """The ranges of an op's dimensions for given tile sizes, worked out once each."""

    def __init__(self, op: TiledOp) -> None:
        self._op = op
        self._known: dict[tuple[str, int], Division] = {}

    def of(self, dim: str, size: int) -> Division:
        known = self._known.get((dim, size))
        if known is None:
            op = self._op
            ranges = op.ranges(dim, size)
            longest = max(ranges, key=lambda r: r.size)
            hungriest = max(ranges, key=lambda r: op.appetite(dim, r))
            known = self._known[dim, size] = Division(len(ranges), longest, hungriest)
        return known


def candidates(op: TiledOp) -> Iterator[list[Sizes]]:
    """Tile sizes worth looking at.

    Each list has one tile size of the result with ever smaller parts of the reduction: the
    first that fits is the best of the list (but see `TiledOp.prefers_overlap`).
    """
    n, c, h, w = op.output
    units = op.units()
    size, channels = op.spec.max_size, op.spec.max_size // op.spec.lanes * op.spec.lanes
    cs = list(sizes(c, channels, units["c"]))
    ks = op.depths()
    hs = list(sizes(h, size, units.get("h", 1)))
    ws = list(sizes(w, size, units.get("w", 1)))
    ns = list(sizes(n, size))
    for (tn, th, tw), tc in product(op.spaces(ns, hs, ws), cs):
        yield [(tn, tc, th, tw, tk) for tk in ks]


@dataclass(frozen=True)
class Need:
    """What one load takes: bytes per lane, cycles of the transfer, and cycles of preparing
    its content. slot, depends: as in `Load`."""

    slot: str
    depends: str
    bytes: int
    cycles: float
    preparing: float


@dataclass(frozen=True)
class Footprint:
    """What one tile of some size costs in room and time, whatever the order of the loops."""

    counts: Mapping[str, int]
    loads: tuple[Need, ...]
    out_bytes: int
    store_cycles: float
    tile_cycles: float


def measure(op: TiledOp, parts: _Divisions, tile_sizes: Sizes) -> Footprint | None:
    """The footprint of tile sizes; None when an instruction cannot hold them."""
    found = {dim: parts.of(dim, size) for dim, size in zip("nchwk", tile_sizes, strict=True)}
    counts = {dim: part.count for dim, part in found.items()}
    box = Box(*(found[dim].longest for dim in "nchw"))
    hungry = Box(*(found[dim].hungriest for dim in "nchw"))
    tile = Tile(hungry, found["k"].longest, first=counts["k"] == 1, last=True)
    loads = op.loads(tile)
    shapes = [box.shape, *(x.target.shape for x in loads if x.slot[0] != "@")]
    if not within_limits(op.spec, shapes):
        return None
    measured = tuple(
        Need(
            x.slot,
            x.depends,
            x.bytes,
            LOAD_START + LOAD_BEAT * beats(x.source),
            preparing(op, x.slot, tile),
        )
        for x in loads
    )
    out = tile_bytes(op.local(0, box.shape)) * op.planes(counts["k"] > 1)
    if out + sum(need.bytes for need in measured) > op.ctx.lane_bytes:
        return None
    stores = STORE_START + STORE_BEAT * beats(op.store(box))
    return Footprint(counts, measured, out, stores, op.cycles(Tile(box, tile.k)))


def preparing(op: TiledOp, slot: str, tile: Tile) -> float:
    """Estimated cycles of preparing what a tile has loaded."""
    return sum(cycles(one, op.spec) for one in op.prepare(slot, tile, defaultdict(int)))


def fit(
    op: TiledOp, footprint: Footprint, tile_sizes: Sizes, order: str, buffers: int
) -> Plan | None:
    """Slots and cost with at most `buffers` copies of each slot, None if too big."""
    counts = footprint.counts
    slots: dict[str, Slot] = {}
    dma, tiu, transfers = 0.0, 0.0, 0
    for need in footprint.loads:
        times = reloads(order, counts, need.depends)
        slots[need.slot] = Slot(need.bytes, min(buffers, times))
        dma, tiu = dma + times * need.cycles, tiu + times * need.preparing
        transfers += times
    tiles = prod(counts[d] for d in "nchw")
    slots["out"] = Slot(footprint.out_bytes, min(buffers, tiles))
    if sum(slot.bytes * slot.copies for slot in slots.values()) > op.ctx.lane_bytes:
        return None
    dma += tiles * footprint.store_cycles
    steps = tiles * counts["k"]
    tiu += steps * footprint.tile_cycles
    cost = (max(dma, tiu) if buffers > 1 else dma + tiu) + (dma + tiu) / steps
    if not in_one_stream(op.spec, steps, transfers + tiles):
        cost = inf
    return Plan(Cut(*tile_sizes, order), slots, cost, buffers > 1)


def in_one_stream(spec: ChipSpec, tiu: int, tdma: int) -> bool:
    """Whether a routine can hold so many instructions of the two engines."""
    sizes = (tiu * spec.tiu.size, tdma * spec.tdma.size)
    return all(size <= limit for size, limit in zip(sizes, spec.stream_bytes, strict=True))


def reloads(order: str, counts: Mapping[str, int], depends: str) -> int:
    """How often content that depends on some loops must be loaded."""
    moving = [order.index(d) for d in depends if counts[d] > 1]
    if not moving:
        return 1
    return prod(counts[d] for d in order[: max(moving) + 1])


def within_limits(spec: ChipSpec, shapes: Sequence[Shape4]) -> bool:
    """Whether tile shapes fit an instruction. The fields of n and c hold a little more than
    those of h and w, but not every instruction takes it (FACTS_TPU 1; measured: convolutions
    of more input channels are refused)."""
    return all(max(shape) <= spec.max_size for shape in shapes)


# -- carrying it out --------------------------------------------------------


@dataclass
class _Buffers:
    """The buffers of one slot and what they hold."""

    base: int
    slot: Slot
    turn: int = -1
    key: Hashable = None

    def take(self, key: Hashable) -> bool:
        """Move on to the next buffer unless the content is there; True if it must be filled."""
        if self.turn >= 0 and self.key == key:
            return False
        self.turn, self.key = (self.turn + 1) % self.slot.copies, key
        return True

    @property
    def address(self) -> int:
        return self.base + self.turn * self.slot.bytes


@dataclass
class _Work:
    """The instructions of one tile, ready to be woven into the stream.

    late: loads into a slot with a single buffer, which must wait for the tile before.
    """

    loads: list[Tdma] = field(default_factory=list)
    late: list[Tdma] = field(default_factory=list)
    compute: list[Instruction] = field(default_factory=list)
    stores: list[Tdma] = field(default_factory=list)


def run(op: TiledOp, chosen: Plan | None = None) -> Plan:
    """Emit an op tile by tile: the loads of tile i+1 and the store of tile i-1 stand before
    the computing of tile i, so that the engines can overlap."""
    chosen = chosen or plan(op)
    buffers = _allocate(chosen.slots)
    previous: _Work | None = None
    current: _Work | None = None
    for tile in tiles_of(op, chosen.cut):
        following = _work(op, tile, buffers)
        _weave(op.ctx, previous, current, following)
        previous, current = current, following
    _weave(op.ctx, previous, current, None)
    _weave(op.ctx, current, None, None)
    return chosen


def _weave(
    ctx: Context, previous: _Work | None, current: _Work | None, following: _Work | None
) -> None:
    for load in following.loads if following else ():
        ctx.emit(load)
    for store in previous.stores if previous else ():
        ctx.emit(store)
    for instruction in current.compute if current else ():
        ctx.emit(instruction)
    for load in following.late if following else ():
        ctx.emit(load)


def _allocate(slots: Mapping[str, Slot]) -> dict[str, _Buffers]:
    buffers, base = {}, 0
    for name, slot in slots.items():
        buffers[name] = _Buffers(base, slot)
        base += slot.bytes * slot.copies
    return buffers


def _work(op: TiledOp, tile: Tile, buffers: Mapping[str, _Buffers]) -> _Work:
    work, fresh = _Work(), []
    for load in op.loads(tile):
        buffer = buffers[load.slot]
        if buffer.take(load.key):
            fresh.append(load.slot)
            target = replace(load.target, address=buffer.address)
            queue = work.loads if buffer.slot.copies > 1 else work.late
            queue.append(op.transfer(load.source, target))
    out = buffers["out"]
    out.take(tile.box)
    addresses = {name: buffer.address for name, buffer in buffers.items()}
    for slot in fresh:
        work.compute += op.prepare(slot, tile, addresses)
    work.compute += op.compute(tile, addresses)
    if tile.last:
        result = op.local(out.address, tile.box.shape)
        work.stores.append(op.transfer(result, op.store(tile.box)))
    return work


def tiles_of(op: TiledOp, cut: Cut) -> Iterator[Tile]:
    """The tiles of a cut in loop order; the reduction is always the innermost loop."""
    ranges = {dim: op.ranges(dim, cut.size(dim)) for dim in "nchwk"}
    last = len(ranges["k"]) - 1
    for combination in product(*(enumerate(ranges[dim]) for dim in cut.order)):
        part = dict(zip(cut.order, combination, strict=True))
        box = Box(part["n"][1], part["c"][1], part["h"][1], part["w"][1])
        index, k = part["k"]
        yield Tile(box, k, first=index == 0, last=index == last)
