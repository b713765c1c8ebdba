"""Comparing quantised layers with float ones where lists of boxes lie between them.

A list of boxes (`Op.incomparable`) is compared with nothing: a score that differs a little
may add a box, drop one or exchange two. What is computed from a list is compared with the
float layers' values for the quantised network's list, so that both speak of the same boxes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from cvi.execute import evaluate
from cvi.ir import Array, Graph
from cvi.parts import behind, lists, part


def incomparable(graph: Graph, names: Iterable[str]) -> dict[str, str]:
    """Those of the layers that are lists of boxes, each with the reason."""
    among = set(names)
    return {name: graph[name].incomparable for name in lists(graph) if name in among}


def float_reference(
    graph: Graph, values: Mapping[str, Array], target: Mapping[str, Array]
) -> dict[str, Array]:
    """What the float layers of `target` that are no lists should be equal to.

    values: all float layers for the test inputs. target: real values of the quantised ones.
    """
    boxes = {name: target[name] for name in lists(graph) if name in target}
    reference = {name: values[name] for name in values if name in target and name not in boxes}
    later = [name for name in behind(graph, boxes) if not graph[name].incomparable]
    if not later:
        return reference
    known = {**values, **boxes}
    tail = part(graph, later)
    given = {op.name: known[op.name] for op in tail.inputs}
    wanted = [name for name in later if name in reference]
    return reference | evaluate(tail, given, outputs=wanted)
