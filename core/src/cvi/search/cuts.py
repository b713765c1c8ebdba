"""Pieces of graphs: one layer of a quantised graph, and all that follows a float layer."""

from __future__ import annotations

from collections.abc import Iterable

from cvi.execute import needed_ops
from cvi.ir import Graph, Input, Op


def layer_alone(quantised: Graph, layer: Op) -> Graph | None:
    """What computes a float layer in the quantised graph, from the layer's own operands in
    the types that they have there; None when an operand does not appear there."""
    given = [name for name in dict.fromkeys(layer.inputs) if quantised.get(name) is not None]
    ops = _between(quantised, set(given), layer.name)
    if any(isinstance(op, Input) for op in ops):
        return None
    return _piece(quantised, given, ops, (layer.name,))


def _between(graph: Graph, given: set[str], name: str) -> list[Op]:
    """The ops that compute a result from the given ones."""
    needed, chosen = {name}, []
    for op in reversed(graph.ops):
        if op.name in needed and op.name not in given:
            chosen.append(op)
            needed.update(op.inputs)
    return chosen[::-1]


def rest_of(graph: Graph, position: int) -> Graph:
    """The ops behind a position that the outputs need, with the tensors they read from
    before it as inputs; outputs that are computed before it are inputs too."""
    later = {op.name for op in graph.ops[position + 1 :]}
    ops = [op for op in needed_ops(graph, graph.outputs) if op.name in later]
    read = [name for op in ops for name in op.inputs if name]
    given = [name for name in dict.fromkeys((*read, *graph.outputs)) if name not in later]
    return _piece(graph, [n for n in given if graph.get(n) is not None], ops, graph.outputs)


def _piece(graph: Graph, given: Iterable[str], ops: list[Op], outputs: tuple[str, ...]) -> Graph:
    inputs = [Input(name=name, type=graph.type_of(name)) for name in given]
    used = {name for op in ops for name in op.inputs}
    constants = {name: array for name, array in graph.constants.items() if name in used}
    return Graph(graph.name, [*inputs, *ops], outputs, constants)
