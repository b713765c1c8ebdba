"""Cuts a quantised graph into segments that run on the TPU and on the CPU.

The order of the ops is free where the data flow allows: it is chosen so that there are as
few TPU segments as possible, because each is a routine of its own and what crosses their
border must stay in memory.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from cvi.ir import Graph, Input, Op
from cvi.ops.movement import Movement
from cvi_tpu.codegen import kernels as _registered  # noqa: F401  fills the registries
from cvi_tpu.codegen.context import LOWERINGS, Lowering
from cvi_tpu.codegen.cpu import CPU_RULES, CpuRule, OnCpu
from cvi_tpu.codegen.kernels.movement import lower_bytes
from cvi_tpu.codegen.planner import TILINGS, Tiling
from cvi_tpu.codegen.tpu import OnTpu
from cvi_tpu.extensions import plugin_kernel


class Unit(Enum):
    """Who runs an op."""

    TPU = "TPU"
    CPU = "CPU"


@dataclass(frozen=True)
class Segment:
    """Consecutive ops that one unit runs. CPU segments hold one or more single calls."""

    unit: Unit
    ops: tuple[Op, ...]


def unit_of(op: Op) -> Unit | None:
    """Who runs the op; None for inputs and for ops that nobody can run."""
    if cpu_rule_of(op) is not None:
        return Unit.CPU
    return Unit.TPU if lowering_of(op) is not None else None


def cpu_rule_of(op: Op) -> CpuRule | None:
    """How an op becomes a call of a CPU function; None when it does not run on the CPU."""
    kernel = cpu_kernel_of(op)
    return None if kernel is None else kernel.rule


def cpu_kernel_of(op: Op) -> OnCpu | None:
    """What is known of an op that runs on the CPU; None for other ops."""
    kernel = _kernel_of(op)
    return kernel if isinstance(kernel, OnCpu) else None


def lowering_of(op: Op) -> Lowering | None:
    """How an op becomes TPU instructions; movement ops work on elements of any size."""
    if isinstance(op, Movement) and op.type.dtype.size != 1:
        return lower_bytes
    kernel: Lowering | OnTpu | OnCpu | None = _kernel_of(op)
    if isinstance(kernel, OnTpu):
        return kernel.lower
    return None if isinstance(kernel, OnCpu) else kernel


def tiling_of(op: Op) -> Tiling | None:
    """How an op becomes a `TiledOp` that can be fused; None for kinds that never can."""
    if type(op) in TILINGS:
        return TILINGS[type(op)]
    kernel = _kernel_of(op)
    return kernel.tiling if isinstance(kernel, OnTpu) else None


def _kernel_of(op: Op) -> Any:
    """A built-in kernel, else a plugin's: `Lowering`, `OnTpu` or `OnCpu`, None without any."""
    kind = type(op)
    if kind in CPU_RULES:
        return OnCpu(CPU_RULES[kind])
    return LOWERINGS.get(kind) or plugin_kernel(kind, ChainMap[Any, Any](LOWERINGS, CPU_RULES))


def partition(graph: Graph, free: Collection[str] = ()) -> list[Segment]:
    """The ops of the graph (inputs left out) in segments.

    free: ops that need no work because their results are aliases; they fit any segment.
    """
    candidates = [_arranged(graph, free, first) for first in (Unit.CPU, Unit.TPU)]
    return min(candidates, key=lambda c: (sum(s.unit is Unit.TPU for s in c), len(c)))


def _arranged(graph: Graph, free: Collection[str], first: Unit) -> list[Segment]:
    """Every unit in turn runs all that it can before it hands over."""
    known = {op.name for op in graph.inputs} | set(graph.constants)
    waiting = [op for op in graph.ops if not isinstance(op, Input)]
    segments, unit = [], first
    while waiting:
        taken = list(_ready(waiting, known, free, unit))
        names = {op.name for op in taken}
        waiting = [op for op in waiting if op.name not in names]
        if any(op.name not in free for op in taken):
            segments.append(Segment(unit, tuple(taken)))
        elif taken and segments:
            last = segments.pop()
            segments.append(Segment(last.unit, (*last.ops, *taken)))
        elif taken:
            segments.append(Segment(unit, tuple(taken)))
        unit = Unit.TPU if unit is Unit.CPU else Unit.CPU
    return segments


def _ready(ops: Iterable[Op], known: set[str], free: Collection[str], unit: Unit) -> Iterable[Op]:
    """Ops that the unit can run one after the other; their results become known."""
    for op in ops:
        fits = op.name in free or unit_of(op) is unit
        if fits and all(name in known for name in op.inputs if name):
            known.add(op.name)
            yield op


def split(segment: Segment, sizes: Sequence[int], limit: int) -> list[Segment]:
    """The segment in parts whose summed sizes stay within the limit (one op at least)."""
    parts: list[list[Op]] = [[]]
    total = 0
    for op, size in zip(segment.ops, sizes, strict=True):
        if parts[-1] and total + size > limit:
            parts.append([])
            total = 0
        parts[-1].append(op)
        total += size
    return [Segment(segment.unit, tuple(part)) for part in parts]
