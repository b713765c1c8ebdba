"""Layers fused in local memory: a group of ops is computed slice by slice.

A slice is one image, or some rows of it. Going backwards from what a group stores, every
op learns which rows of its result the slice needs, halos of windows included. What one op
of the group makes and another one reads stays in local memory and never sees DRAM.

All slices of a group are laid out on one time line of steps (one op of one slice each).
Every operand, constant and result is an item with a lifetime on that line and gets its
place in local memory by first fit, so that double buffering is nothing special: the next
slice's input is simply loaded some steps before it is used.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from cvi_tpu.codegen.context import Context
from cvi_tpu.codegen.planner import (
    LOAD_BEAT,
    LOAD_START,
    STORE_BEAT,
    STORE_START,
    Load,
    Part,
    Tile,
    TiledOp,
    beats,
    preparing,
    tile_bytes,
    within_limits,
)
from cvi_tpu.codegen.tiling import Box, Range
from cvi_tpu.isa.instructions import Arith, ArithOp, Copy, Instruction
from cvi_tpu.isa.operands import Local, ceil_div

SLICES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
AHEAD = (6, 2, 1)
"""How many steps before its use an operand is loaded: as many as fit."""


@dataclass(frozen=True)
class Node:
    """An op of a group. producers: for every operand the index of the node that makes it,
    None when it comes from DRAM. stored: whether somebody outside reads the result."""

    op: TiledOp
    producers: tuple[int | None, ...]
    stored: bool


@dataclass
class Item:
    """Room in local memory from step `first` to step `last`, both included."""

    bytes: int
    first: int
    last: int
    address: int = -1


@dataclass(frozen=True)
class Resident:
    """A tensor in local memory: which box of which value, and how it lies there."""

    box: Box
    layout: Local
    item: Item

    def at(self, box: Box) -> Local:
        """The part of it that a box covers (all channels)."""
        sn, _, sh, sw = self.layout.strides
        offset = (
            (box.n.start - self.box.n.start) * sn
            + (box.h.start - self.box.h.start) * sh
            + (box.w.start - self.box.w.start) * sw
        )
        shape = (box.n.size, self.layout.shape[1], box.h.size, box.w.size)
        return replace(self.layout, address=self.item.address + offset, shape=shape)


@dataclass
class Step:
    """One op of one slice: what is loaded before, what it computes, what is stored after.
    fresh: the constants that it is the first to use."""

    node: Node
    tile: Tile
    operands: list[tuple[Resident, Part]]
    result: Resident
    constants: dict[str, Item]
    fresh: tuple[str, ...]
    copies: dict[int, Item]
    own: Box | None
    issue: list[tuple[Load, Item]] = field(default_factory=list)


@dataclass(frozen=True)
class Fused:
    """A group that fits local memory: its time line, its slices and estimated cycles."""

    steps: list[Step]
    slices: int
    cost: float


def hull(ranges: Sequence[Range]) -> Range:
    start = min(r.start for r in ranges)
    return Range(start, max(r.stop for r in ranges) - start)


def fuse(nodes: Sequence[Node], ctx: Context, *, least_slices: int = 1) -> Fused | None:
    """The group with as few slices as fit, None when it does not fit at all."""
    if len({node.op.output[0] for node in nodes}) > 1:
        return None
    for count in SLICES:
        if count < least_slices or count > max(n.op.output[2] for n in nodes):
            continue
        boxes = list(_slices(nodes, count))
        if not boxes or any(b is None for b in boxes):
            continue
        for ahead in AHEAD:
            steps = _Timeline(nodes, ctx, [b for b in boxes if b], ahead).build()
            if steps is not None:
                return Fused(steps, count, _estimate(steps))
    return None


# -- slicing ------------------------------------------------------------------

Needs = dict[int, tuple[Box, Box | None]]
"""Per node of a slice: the box it must compute, and the part of it that is stored."""


def _slices(nodes: Sequence[Node], count: int) -> Iterator[Needs | None]:
    batch = nodes[-1].op.output[0]
    for image in range(batch):
        for part in range(count):
            yield _needs(nodes, Range(image, 1), part, count)


def _needs(nodes: Sequence[Node], image: Range, part: int, count: int) -> Needs | None:
    """What every node computes in a slice; None when some op would read only padding."""
    demanded: dict[int, list[Range]] = {}
    needs: Needs = {}
    for index in reversed(range(len(nodes))):
        node = nodes[index]
        _, channels, height, width = node.op.output
        rows = list(demanded.get(index, ()))
        start, stop = height * part // count, height * (part + 1) // count
        own = Range(start, stop - start)
        keeps = node.stored and own.size > 0
        if keeps:
            rows.append(own)
        if not rows:
            continue
        c, w = Range(0, channels), Range(0, width)
        box = Box(image, c, hull(rows), w)
        needs[index] = (box, Box(image, c, own, w) if keeps else None)
        if not node.op.reaches(box):
            return None
        for producer, need in zip(node.producers, node.op.parts(_whole(node.op, box)), strict=True):
            if producer is not None:
                demanded.setdefault(producer, []).append(need.box.h)
    return dict(sorted(needs.items()))


def _whole(op: TiledOp, box: Box) -> Tile:
    return Tile(box, Range(0, op.reduction))


Key = tuple[str, int, bool]
"""Name of an operand, its repeated channels, and whether its elements are converted."""


# -- the time line ------------------------------------------------------------


class _Timeline:
    """Lays out all slices of a group and gives every item its place."""

    def __init__(
        self, nodes: Sequence[Node], ctx: Context, slices: Sequence[Needs], ahead: int
    ) -> None:
        self.nodes, self.ctx, self.slices, self.ahead = nodes, ctx, slices, ahead
        self.items: list[Item] = []
        self.steps: list[Step] = []
        self.loads: list[tuple[Load, Item]] = []
        self.constants: dict[tuple[int, str], Item] = {}
        self.fetched: dict[Key, Resident] = {}

    def build(self) -> list[Step] | None:
        """The steps, None when something does not fit."""
        for needs in self.slices:
            external = self._external(needs)
            results: dict[int, Resident] = {}
            self.fetched = {}
            for index, (box, own) in needs.items():
                if not self._step(index, box, own, external, results):
                    return None
        if not self._place():
            return None
        for load, item in self.loads:
            self.steps[item.first].issue.append((load, item))
        return self.steps

    def _item(self, size: int, first: int, last: int) -> Item:
        item = Item(size, first, last)
        self.items.append(item)
        return item

    def _load(self, load: Load, use: int) -> Item:
        item = self._item(load.bytes, max(0, use - self.ahead), use)
        self.loads.append((load, item))
        return item

    def _external(self, needs: Needs) -> dict[Key, Part]:
        """Operands from DRAM, by what they are loaded as: the part that a slice needs."""
        found: dict[Key, Part] = {}
        for index, (box, _) in needs.items():
            node = self.nodes[index]
            for i, part in enumerate(node.op.parts(_whole(node.op, box))):
                if node.producers[i] is None:
                    key = _key(node.op, i, part, box)
                    known = found.get(key, part).box
                    rows = hull([known.h, part.box.h])
                    columns = hull([known.w, part.box.w])
                    found[key] = Part(replace(part.box, h=rows, w=columns), part.depends)
        return found

    def _step(
        self,
        index: int,
        box: Box,
        own: Box | None,
        external: Mapping[Key, Part],
        results: dict[int, Resident],
    ) -> bool:
        node, now = self.nodes[index], len(self.steps)
        op, tile = node.op, _whole(node.op, box)
        operands: list[tuple[Resident, Part]] = []
        for i, part in enumerate(op.parts(tile)):
            producer = node.producers[i]
            if producer is None:
                resident = self._fetch(op, i, part, box, external, now)
            elif _spread(op, part, box):
                return False
            else:
                resident = results[producer]
                resident.item.last = max(resident.item.last, now)
            operands.append((resident, part))
        layout = op.local(0, box.shape)
        shapes = [box.shape, *(resident.layout.shape for resident, _ in operands)]
        if not within_limits(op.spec, shapes):
            return False
        keeps = now + 1 if own else now
        result = Resident(
            box, layout, self._item(tile_bytes(layout) * op.planes(False), now, keeps)
        )
        results[index] = result
        needed = op.constants(tile)
        fresh = tuple(x.slot for x in needed if (index, x.slot) not in self.constants)
        constants = {load.slot: self._constant(index, load, now) for load in needed}
        copies = {
            i: self._item(tile_bytes(op.local(0, part.box.shape)), now, now)
            for i, (resident, part) in enumerate(operands)
            if op.strict and not _default(op, resident, part.box)
        }
        widths = [operands[i][1].box.w.size * op.element_bytes for i in copies]
        if max(widths, default=0) > op.spec.max_size:
            return False
        self.steps.append(Step(node, tile, operands, result, constants, fresh, copies, own))
        return True

    def _fetch(
        self,
        op: TiledOp,
        index: int,
        part: Part,
        box: Box,
        external: Mapping[Key, Part],
        now: int,
    ) -> Resident:
        """An operand from DRAM: loaded by the first step of the slice that needs it."""
        key = _key(op, index, part, box)
        known = self.fetched.get(key)
        if known is None:
            whole = external[key]
            load = op.load(index, whole, _whole(op, box))
            known = Resident(whole.box, load.target, self._load(load, now))
            self.fetched[key] = known
        known.item.last = max(known.item.last, now)
        return known

    def _constant(self, index: int, load: Load, now: int) -> Item:
        """A constant is loaded once and stays until the last slice has used it."""
        item = self.constants.get((index, load.slot))
        if item is None:
            item = self.constants[index, load.slot] = self._load(load, now)
        item.last = now
        return item

    def _place(self) -> bool:
        """First fit on the time line; False when local memory does not suffice."""
        limit = self.ctx.lane_bytes
        live: list[Item] = []
        for item in sorted(self.items, key=lambda x: (x.first, -x.bytes)):
            live = [x for x in live if x.last >= item.first]
            address = 0
            for other in sorted(live, key=lambda x: x.address):
                if other.address - address >= item.bytes:
                    break
                address = max(address, other.address + other.bytes)
            if address + item.bytes > limit:
                return False
            item.address = address
            live.append(item)
        return True


def _key(op: TiledOp, index: int, part: Part, box: Box) -> Key:
    """An operand from DRAM and what becomes of it on the way."""
    return op.operands[index], _spread(op, part, box), op.converts


def _spread(op: TiledOp, part: Part, box: Box) -> int:
    """Channels that a loaded operand has in local memory, 0 when they are its own."""
    return box.c.size if part.box.c.size == 1 and box.c.size > 1 and op.repeats_channels else 0


def _default(op: TiledOp, resident: Resident, box: Box) -> bool:
    """Whether a part of a resident tensor lies as the default layout has it, so that an
    instruction that takes no strides can read it."""
    part = resident.at(box)
    wanted = op.local(0, part.shape).strides
    one_group = part.shape[1] <= op.spec.lanes
    same = (
        (part.shape[0] == 1 or part.strides[0] == wanted[0])
        and (one_group or part.strides[1] == wanted[1])
        and part.strides[2:] == wanted[2:]
    )
    aligned = (part.address - resident.item.address) % op.spec.eu_bytes == 0
    return same and aligned


# -- carrying it out ----------------------------------------------------------


def emit(fused: Fused, ctx: Context) -> None:
    """Emit a group: loads of a step, the store of the step before, then its computing."""
    previous: Step | None = None
    for step in fused.steps:
        for load, item in step.issue:
            target = replace(load.target, address=item.address)
            ctx.emit(Copy(source=load.source, target=target, layer=step.node.op.layer))
        _emit_store(previous, ctx)
        for instruction in _compute(step):
            ctx.emit(instruction)
        previous = step
    _emit_store(previous, ctx)


def _emit_store(step: Step | None, ctx: Context) -> None:
    if step is not None and step.own is not None:
        op = step.node.op
        source = step.result.at(step.own)
        ctx.emit(Copy(source=source, target=op.store(step.own), layer=op.layer))


def _compute(step: Step) -> list[Instruction]:
    op, operands = step.node.op, []
    work: list[Instruction] = []
    for index, (resident, part) in enumerate(step.operands):
        local = resident.at(part.box)
        copy = step.copies.get(index)
        if copy is not None:
            straight = op.local(copy.address, local.shape)
            work.append(copy_bytes(local, straight, op.layer))
            local = straight
        elif op.strict:
            local = op.local(local.address, local.shape)
        operands.append(local)
    result = op.local(step.result.item.address, step.tile.box.shape)
    addresses = {slot: item.address for slot, item in step.constants.items()}
    for slot in step.fresh:
        work += op.prepare(slot, step.tile, addresses)
    return [*work, *op.emit(step.tile, result, operands, addresses)]


def copy_bytes(source: Local, target: Local, layer: int) -> Arith:
    """A copy in local memory that keeps every bit: BF16 arithmetic would not (FACTS_TPU 3.3)."""
    return Arith(op=ArithOp.COPY, result=_bytes(target), left=_bytes(source), layer=layer)


def _bytes(tensor: Local) -> Local:
    """The bytes of a tensor whose rows are contiguous."""
    size = tensor.element_bytes
    n, c, h, w = tensor.shape
    return Local(tensor.address, (n, c, h, w * size), (*tensor.strides[:3], 1))


def _estimate(steps: Sequence[Step]) -> float:
    """Cycles of a group on the two engines, each in order, started from rest."""
    dma = tiu = 0.0
    ready: dict[int, float] = {}
    previous: Step | None = None
    for step in steps:
        for load, item in step.issue:
            dma += LOAD_START + LOAD_BEAT * beats(load.source)
            ready[id(item)] = dma
        if previous is not None and previous.own is not None:
            store = previous.node.op.store(previous.own)
            dma = max(dma, tiu) + STORE_START + STORE_BEAT * beats(store)
        needed = [resident.item for resident, _ in step.operands]
        needed += step.constants.values()
        start = max([tiu, *(ready.get(id(item), 0.0) for item in needed)])
        tiu = start + step.node.op.cycles(step.tile) + sum(map(_copy_cycles, step.copies.values()))
        tiu += sum(preparing(step.node.op, slot, step.tile) for slot in step.fresh)
        previous = step
    return max(dma, tiu) + (STORE_START if previous and previous.own else 0.0)


def _copy_cycles(item: Item) -> float:
    return 38.0 + 3.0 * ceil_div(item.bytes, 16)
