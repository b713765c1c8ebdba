"""Comparing quantised layers with float ones where lists of boxes lie between them.

A list of boxes (`Op.incomparable`) is compared with nothing: a score that differs a little
may add a box, drop one or exchange two. What is computed from a list is compared with the
float layers' values for the quantised network's list, so that both speak of the same boxes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from cvi.execute import evaluate
from cvi.ir import Array, Graph, Input


def incomparable(graph: Graph, names: Iterable[str]) -> dict[str, str]:
    """Those of the layers that are lists of boxes, each with the reason."""
    ops = [graph.get(name) for name in names]
    return {op.name: op.incomparable for op in ops if op is not None and op.incomparable}


def float_reference(
    graph: Graph, values: Mapping[str, Array], target: Mapping[str, Array]
) -> dict[str, Array]:
    """What the float layers of `target` should be equal to.

    values: all float layers for the test inputs. target: real values of the quantised ones.
    """
    lists = {name: target[name] for name in incomparable(graph, target)}
    behind = _behind(graph, lists)
    reference = {name: values[name] for name in values if name in target}
    if not behind:
        return reference
    known = {**values, **lists}
    tail = _tail(graph, behind, known)
    wanted = [name for name in behind if name in reference and name not in lists]
    given = {op.name: known[op.name] for op in tail.inputs}
    return reference | evaluate(tail, given, outputs=wanted)


def _behind(graph: Graph, lists: Mapping[str, Array]) -> list[str]:
    """Layers that are computed from a list, others lists included, in order."""
    found: dict[str, None] = {}
    for op in graph.ops:
        if any(name in lists or name in found for name in op.inputs):
            found[op.name] = None
    return list(found)


def _tail(graph: Graph, behind: list[str], known: Mapping[str, Array]) -> Graph:
    """The layers behind lists as a network of their own, fed with what they read."""
    made = {name for name in behind if not graph[name].incomparable}
    reads = dict.fromkeys(n for name in made for n in graph[name].inputs if n and n not in made)
    tail = Graph(graph.name, constants=graph.constants)
    for name in reads:
        if name in known:
            tail.add(Input(name=name, type=graph.type_of(name)))
    for op in graph.ops:
        if op.name in made:
            tail.add(op)
    return tail
