"""Which nodes of an ONNX graph to convert, and in what order."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from cvi.errors import InputError, ModelError

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto


def producers(graph: GraphProto) -> dict[str, int]:
    """Tensor -> index of the node that computes it. ModelError when two do."""
    found: dict[str, int] = {}
    for index, node in enumerate(graph.node):
        for name in filter(None, node.output):
            if name in found:
                raise ModelError("two nodes compute the same tensor", where=name)
            found[name] = index
    return found


def reads(node: NodeProto) -> list[str]:
    """The tensors that a node reads, those inside its branches included."""
    names = list(node.input)
    for attribute in node.attribute:
        if attribute.HasField("g"):
            own = {n for inner in attribute.g.node for n in inner.output}
            own |= {t.name for t in (*attribute.g.input, *attribute.g.initializer)}
            inside = [n for inner in attribute.g.node for n in reads(inner)]
            inside += [value.name for value in attribute.g.output]
            names += [name for name in dict.fromkeys(inside) if name not in own]
    return names


def layer_names(node: NodeProto) -> list[str]:
    """Names of the layers that compute a node's outputs."""
    return [f"{output}_{node.op_type}" if output else "" for output in node.output]


def choose_outputs(graph: GraphProto, wanted: Sequence[str] | None) -> list[str]:
    """The tensors to compute: the model's outputs, or those that match the patterns.

    A pattern (fnmatch wildcards) is compared with tensor names and layer names.
    """
    own = [value.name for value in graph.output]
    if not all(own):
        raise ModelError("an output of the model has no name")
    if wanted is None:
        return list(dict.fromkeys(own))
    names = {
        tensor: layer
        for node in graph.node
        for tensor, layer in zip(node.output, layer_names(node), strict=True)
        if tensor
    }
    chosen: dict[str, None] = {}
    for pattern in wanted:
        exact = [t for t, layer in names.items() if pattern in (t, layer)]
        matches = exact or [
            t
            for t, layer in names.items()
            if fnmatch.fnmatchcase(t, pattern) or fnmatch.fnmatchcase(layer, pattern)
        ]
        if not matches:
            raise _no_match(pattern, names)
        chosen.update(dict.fromkeys(matches))
    return list(chosen)


def _no_match(pattern: str, names: Mapping[str, str]) -> InputError:
    import difflib

    near = difflib.get_close_matches(pattern, [*names, *names.values()], n=3)
    return InputError(
        f"no tensor or layer matches {pattern!r}" + (f", near: {', '.join(near)}" if near else ""),
        where="--outputs",
        fix="`cvi inspect MODEL --layers` lists them",
    )


def execution_order(graph: GraphProto, outputs: Iterable[str], known: set[str]) -> list[int]:
    """Indices of the nodes that the outputs need, operands first, else as in the file.

    known: tensors that need no node (inputs and initialisers). ModelError for operands
    that nothing produces and for cycles.
    """
    producer = producers(graph)
    needed = _needed(graph, outputs, known, producer)
    waiting = {
        i: {producer[n] for n in reads(graph.node[i]) if n in producer and n not in known}
        for i in needed
    }
    users: dict[int, list[int]] = {i: [] for i in needed}
    for index, operands in waiting.items():
        for operand in operands:
            users[operand].append(index)
    return _sorted(graph, waiting, users)


def _needed(
    graph: GraphProto, outputs: Iterable[str], known: set[str], producer: Mapping[str, int]
) -> set[int]:
    needed: set[int] = set()
    stack = [(name, "the network's outputs") for name in outputs]
    while stack:
        name, reader = stack.pop()
        if not name or name in known:
            continue
        if name not in producer:
            raise ModelError(
                f"nothing produces the tensor {name!r} that {reader} read",
                fix="the file is incomplete: export it again",
            )
        index = producer[name]
        if index not in needed:
            needed.add(index)
            node = graph.node[index]
            stack += [(operand, f"the {node.op_type} node for {name!r}") for operand in reads(node)]
    return needed


def _sorted(
    graph: GraphProto, waiting: dict[int, set[int]], users: Mapping[int, list[int]]
) -> list[int]:
    import heapq

    ready = [i for i, operands in waiting.items() if not operands]
    heapq.heapify(ready)
    order: list[int] = []
    while ready:
        index = heapq.heappop(ready)
        order.append(index)
        for user in users[index]:
            waiting[user].discard(index)
            if not waiting[user]:
                heapq.heappush(ready, user)
    if len(order) < len(waiting):
        stuck = min(set(waiting) - set(order))
        tensor = next(iter(graph.node[stuck].output), "")
        raise ModelError("the graph has a cycle", where=f"{graph.node[stuck].op_type} {tensor!r}")
    return order
