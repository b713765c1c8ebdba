"""Parts of a graph as networks of their own."""

from __future__ import annotations

from collections.abc import Collection

from cvi.ir import Graph, Input


def behind(graph: Graph, names: Collection[str]) -> list[str]:
    """Layers that are computed from one of the named ones, in execution order."""
    found: dict[str, None] = {}
    for op in graph.ops:
        if any(name in names or name in found for name in op.inputs):
            found[op.name] = None
    return list(found)


def lists(graph: Graph) -> list[str]:
    """Layers whose results are lists of boxes (`Op.incomparable`)."""
    return [op.name for op in graph.ops if op.incomparable]


def part(graph: Graph, names: Collection[str]) -> Graph:
    """The named layers; other layers that they read become inputs, constants stay."""
    made = Graph(graph.name, constants=graph.constants)
    chosen = [op for op in graph.ops if op.name in names and not isinstance(op, Input)]
    inside = {op.name for op in chosen}
    for name in dict.fromkeys(name for op in chosen for name in op.inputs):
        if name and name not in inside and name not in graph.constants:
            made.add(Input(name=name, type=graph.type_of(name)))
    for op in chosen:
        made.append(op)
    return made
