"""Gives every value a place in the memory regions of the chip (FACTS_CVIMODEL 4).

Network inputs and outputs get io regions of their own, as long as there are any. What
crosses the border of a segment lives in private memory, the rest in shared memory; both
are reused when a value is not needed any more. What only CPU functions touch needs no
device memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf

from cvi.ir import Graph
from cvi_tpu.codegen.aliases import ALIGN, Placed
from cvi_tpu.codegen.context import View
from cvi_tpu.codegen.partition import Segment, Unit
from cvi_tpu.isa.operands import align

SHARED, PRIVATE, FIRST_IO = 0, 2, 3
IO_REGIONS = 5
HEAP = -1
"""Region of values that need no device memory."""


@dataclass
class Block:
    """The memory of one or more values (`Placed.root`) and the time it is needed.

    Times are positions in the execution order: inputs are there before the first op,
    inputs and outputs stay to the end.
    """

    name: str
    size: int
    first: float = inf
    last: float = -inf
    segments: set[int] = field(default_factory=set)
    on_cpu: bool = False
    on_tpu: bool = False
    region: int = HEAP
    address: int = 0

    def touch(self, time: float) -> None:
        self.first, self.last = min(self.first, time), max(self.last, time)

    def meets(self, other: Block) -> bool:
        """Whether both are needed at some time."""
        return self.first <= other.last and other.first <= self.last

    def overlaps(self, other: Block) -> bool:
        """Whether both lie on some common byte."""
        return (
            self.region == other.region
            and self.address < other.address + other.size
            and other.address < self.address + self.size
        )


@dataclass(frozen=True)
class Memory:
    """Where every value lives.

    views: by name, region HEAP for values without device memory. overwritten: values
    whose memory is reused before the program ends, or that are not dense.
    """

    views: dict[str, View]
    overwritten: frozenset[str]
    shared_bytes: int
    private_bytes: int
    io_bytes: int


def assign(
    graph: Graph, placed: dict[str, Placed], segments: Sequence[Segment], free: Iterable[str],
    *, keep: bool = False, together: Sequence[Sequence[str]] = (),
    unstored: frozenset[str] = frozenset(),
) -> Memory:  # fmt: skip
    """Regions and addresses of all values. keep: no memory is reused. together: ops that
    are computed slice by slice, so at one time. unstored: values that never reach DRAM."""
    placed = {name: where for name, where in placed.items() if name not in unstored}
    group_of = {name: number for number, names in enumerate(together) for name in names}
    blocks = _blocks(graph, placed, segments, set(free), group_of)
    _choose_regions(graph, placed, blocks, keep)
    totals = {region: _allocate(blocks, region, keep) for region in (SHARED, PRIVATE)}
    views = {name: _view(where, blocks[where.root]) for name, where in placed.items()}
    return Memory(
        views,
        frozenset(_overwritten(placed, views, blocks)),
        totals[SHARED],
        totals[PRIVATE],
        sum(b.size for b in blocks.values() if b.region >= FIRST_IO),
    )


def _view(where: Placed, block: Block) -> View:
    return replace(where.view, region=block.region, address=where.view.address + block.address)


def _blocks(
    graph: Graph, placed: dict[str, Placed], segments: Sequence[Segment], free: set[str],
    group_of: Mapping[str, int],
) -> dict[str, Block]:  # fmt: skip
    """Blocks with their lifetimes and who touches them."""
    roots = {where.root for where in placed.values()}
    blocks = {root: Block(root, graph.type_of(root).bytes) for root in roots}
    time, group = 0, None
    for number, segment in enumerate(segments):
        for op in segment.ops:
            if op.name in free:
                continue
            if group is None or group_of.get(op.name) != group:
                time += 1
            group = group_of.get(op.name)
            for name in (op.name, *op.inputs):
                if name in placed:
                    block = blocks[placed[name].root]
                    block.touch(time)
                    block.segments.add(number)
                    block.on_cpu |= segment.unit is Unit.CPU
                    block.on_tpu |= segment.unit is Unit.TPU
    for op in graph.inputs:  # kept to the end: a caller may run again with the same inputs
        blocks[placed[op.name].root].touch(-1)
        blocks[placed[op.name].root].touch(inf)
    for name in graph.outputs:
        blocks[placed[name].root].touch(inf)
    return blocks


def _choose_regions(
    graph: Graph, placed: dict[str, Placed], blocks: dict[str, Block], keep: bool
) -> None:
    holders: dict[str, int] = {}
    for where in placed.values():
        holders[where.root] = holders.get(where.root, 0) + 1
    for block in blocks.values():
        alone = holders[block.name] == 1
        if block.on_cpu and not block.on_tpu and alone:
            continue
        crossing = block.on_cpu or len(block.segments) > 1
        block.region = PRIVATE if crossing or keep else SHARED
    ends = [op.name for op in graph.inputs] + list(graph.outputs)
    roots = list(dict.fromkeys(placed[name].root for name in ends))
    for i, root in enumerate(roots):
        blocks[root].region = FIRST_IO + i if i < IO_REGIONS else PRIVATE


def _allocate(blocks: dict[str, Block], region: int, keep: bool) -> int:
    """Give the blocks of a region their addresses; returns the bytes of the region."""
    mine = sorted((b for b in blocks.values() if b.region == region), key=lambda b: b.name)
    if keep:
        for block in mine:
            block.first, block.last = -inf, inf
    plans = [
        fit(sorted(mine, key=lambda b: -b.size), best=True),
        fit(sorted(mine, key=lambda b: (b.first, -b.size)), best=False),
    ]
    total, addresses = min(plans, key=lambda plan: plan[0])
    for block in mine:
        block.address = addresses[block.name]
    return total


def fit(blocks: Iterable[Block], *, best: bool) -> tuple[int, dict[str, int]]:
    """Place blocks one after the other so that none that are needed at the same time lie
    on common bytes: in the tightest gap (`best`) or the first one. Total and addresses."""
    placed: list[Block] = []
    total = 0
    for block in blocks:
        rivals = sorted((b for b in placed if b.meets(block)), key=lambda b: b.address)
        address = _gap(rivals, block.size, best)
        placed.append(replace(block, address=address))
        total = max(total, align(address + block.size, ALIGN))
    return total, {b.name: b.address for b in placed}


def _gap(rivals: Sequence[Block], size: int, best: bool) -> int:
    """A start address that is free among blocks sorted by address."""
    gaps: list[tuple[int, int]] = []
    end = 0
    for rival in rivals:
        if rival.address - end >= size:
            gaps.append((rival.address - end, end))
        end = max(end, align(rival.address + rival.size, ALIGN))
    if not gaps:
        return end
    return min(gaps)[1] if best else gaps[0][1]


def _overwritten(
    placed: dict[str, Placed], views: dict[str, View], blocks: dict[str, Block]
) -> Iterable[str]:
    later = {
        root: any(b.first > block.last and b.overlaps(block) for b in blocks.values())
        for root, block in blocks.items()
        if block.region != HEAP
    }
    for name, where in placed.items():
        if later.get(where.root, False) or not views[name].is_dense:
            yield name
