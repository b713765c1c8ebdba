"""Where to end a network so that only what can be done is left of it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from cvi.ir import Graph, Input, Op


@dataclass(frozen=True)
class Step:
    """A layer of a network in execution order: what it reads and what it gives.

    names: how a user calls what it gives with --outputs, in the order of `gives`; "" for
    what has no name in the model file. usable: whether it can be kept.
    """

    reads: tuple[str, ...]
    gives: tuple[str, ...]
    names: tuple[str, ...]
    usable: bool


def cut_before(steps: Sequence[Step], outputs: Collection[str]) -> list[str]:
    """Names of the last tensors before the first steps that cannot be kept.

    Kept is what depends on no such step. A tensor at which the network has to end but
    which has no name is given up too, back to one that has. Empty when nothing is left.
    """
    lost: set[str] = set()
    while True:
        for step in steps:
            if not step.usable or not lost.isdisjoint(step.reads):
                lost.update(step.gives)
        ends = _ends(steps, lost, outputs)
        nameless = {tensor for tensor, name in ends if not name}
        if not nameless:
            return list(dict.fromkeys(name for _, name in ends))
        lost |= nameless


def _ends(steps: Sequence[Step], lost: set[str], outputs: Collection[str]) -> list[tuple[str, str]]:
    """The kept tensors that a lost step reads or that the network gives out."""
    wanted = set(outputs)
    for step in steps:
        if not lost.isdisjoint(step.gives):
            wanted.update(step.reads)
    return [
        (tensor, name)
        for step in steps
        for tensor, name in zip(step.gives, step.names, strict=True)
        if tensor in wanted and tensor not in lost
    ]


def blamed(graph: Graph, problems: Iterable[str]) -> set[str]:
    """The layers that lines like "name (Kind): reason" speak of."""
    starts = {f"{op.name} ({op.kind}): ": op.name for op in graph}
    return {name for line in problems for start, name in starts.items() if line.startswith(start)}


def proposal(graph: Graph, problems: Iterable[str]) -> list[str]:
    """The tensors of the model file at which to end the network before its problems."""
    bad = blamed(graph, problems)
    steps = [
        Step(op.inputs, (op.name,), (op.source,), op.name not in bad)
        for op in graph
        if not isinstance(op, Input)
    ]
    return cut_before(steps, graph.outputs) if bad else []


def rest_of(graph: Graph, ends: Collection[str]) -> Graph:
    """The graph behind the layers that give these tensors of the model file; they are its
    first inputs. It has no outputs when nothing is left."""
    cuts = [op for op in graph if op.source in ends]
    names = {op.name for op in cuts}
    outputs = tuple(name for name in graph.outputs if name not in names)
    needed, kept = set(outputs), list[Op]()
    for op in reversed(graph.ops):
        if op.name in needed and op.name not in names:
            kept.append(op)
            needed.update(op.inputs)
    inputs: list[Op] = [
        Input(name=op.name, type=op.type, source=op.source) for op in cuts if op.name in needed
    ]
    constants = {name: array for name, array in graph.constants.items() if name in needed}
    return Graph(f"{graph.name}_tail", [*inputs, *kept[::-1]], outputs, constants)


def advice(names: Sequence[str]) -> str:
    """What to type, "" when there is nothing to end at."""
    if not names:
        return ""
    return f"end the network at these and compute the rest on the host: --outputs {','.join(names)}"
