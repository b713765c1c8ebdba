"""Which neighbouring ops are fused: the choice, by estimated cycles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cvi.errors import UnsupportedError
from cvi.ir import Graph, Op
from cvi_tpu.codegen.context import Context
from cvi_tpu.codegen.fusion import Fused, Node, fuse
from cvi_tpu.codegen.partition import tiling_of
from cvi_tpu.codegen.planner import TiledOp, plan

LOOK_AHEAD = 3
"""How many ops a group may grow at a loss, in the hope of a gain further on."""


@dataclass(frozen=True)
class Group:
    """Neighbouring ops that are computed together; unstored: results that stay inside."""

    ops: tuple[Op, ...]
    unstored: frozenset[str]


class Grouping:
    """Decides on groups among the ops of a segment and builds them.

    free: ops that take no instructions (aliases). keep: every result must reach DRAM.
    """

    def __init__(self, graph: Graph, free: frozenset[str], *, keep: bool) -> None:
        self.graph, self.free, self.keep = graph, free, keep
        self.users = graph.users()

    def nodes(self, ops: Sequence[Op], tiled: Sequence[TiledOp]) -> list[Node] | None:
        """The ops as nodes of a group; None when one reads an alias of another's result,
        which passes through DRAM."""
        index = {op.name: i for i, op in enumerate(ops)}
        nodes = []
        for op, kernel in zip(ops, tiled, strict=True):
            producers = tuple(index.get(name) for name in kernel.operands)
            for name, producer in zip(kernel.operands, producers, strict=True):
                if producer is None and not index.keys().isdisjoint(self._origins(name)):
                    return None
            nodes.append(Node(kernel, producers, self._stored(op, index)))
        return nodes

    def _origins(self, name: str) -> Iterator[str]:
        """The ops whose results an alias consists of."""
        if name in self.free:
            for source in self.graph[name].inputs:
                yield source
                yield from self._origins(source)

    def _stored(self, op: Op, inside: dict[str, int]) -> bool:
        if self.keep or op.name in self.graph.outputs:
            return True
        return any(user.name not in inside for user in self.users[op.name])

    def choose(self, ops: Sequence[Op], ctx: Context) -> list[Group]:
        """Groups of two or more of the ops, which are in execution order."""
        ops = [op for op in ops if op.name not in self.free]
        tiled = [tiled_op(op, ctx) for op in ops]
        groups, start = [], 0
        while start < len(ops):
            end = self._grow(ops, tiled, start, ctx)
            if end > start + 1:
                names = {op.name: i for i, op in enumerate(ops[start:end])}
                unstored = [op.name for op in ops[start:end] if not self._stored(op, names)]
                groups.append(Group(tuple(ops[start:end]), frozenset(unstored)))
            start = end
        return groups

    def _grow(
        self, ops: Sequence[Op], tiled: Sequence[TiledOp | None], start: int, ctx: Context
    ) -> int:
        """The end of the best group from `start` on."""
        best_end, best_gain, apart, slices = start + 1, 0.0, cost_alone(tiled[start]), 1
        for end in range(start + 2, len(ops) + 1):
            kernels = tiled[start:end]
            known = [k for k in kernels if k is not None]
            if len(known) < len(kernels) or end - 1 > best_end + LOOK_AHEAD:
                break
            apart += cost_alone(known[-1])
            nodes = self.nodes(ops[start:end], known)
            fused = fuse(nodes, ctx, least_slices=slices) if nodes else None
            if fused is None:
                break
            slices = fused.slices
            if apart - fused.cost > best_gain:
                best_end, best_gain = end, apart - fused.cost
        return best_end


def tiled_op(op: Op, ctx: Context) -> TiledOp | None:
    """The op's kernel, None when it cannot be fused."""
    tiling = tiling_of(op)
    return tiling(op, ctx) if tiling else None


def cost_alone(op: TiledOp | None) -> float:
    """Estimated cycles of an op that is not fused."""
    if op is None:
        return 0.0
    try:
        return plan(op).cost
    except UnsupportedError:
        return float("inf")


def build(group: Group, kernels: Sequence[TiledOp], grouping: Grouping, ctx: Context) -> Fused:
    """The time line of a chosen group."""
    nodes = grouping.nodes(group.ops, kernels)
    fused = fuse(nodes, ctx) if nodes else None
    if fused is None:
        names = ", ".join(op.name for op in group.ops)
        raise UnsupportedError("fused layers do not fit any more", where=names)
    return fused
