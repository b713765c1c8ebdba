"""Network inputs that are indices are whole numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from cvi.ir import DType, Graph, Input, Op
from cvi.ops import Embedding, Movement
from cvi.passes.base import Pass


class IntegerIndices(Pass):
    """An fp32 Input that nothing but Embeddings look up at becomes an Input of int32.

    1. Data movement between the input and the Embedding becomes int32 too.
    2. An input, or an operand moved together with it, that anything else reads stays as
       it is; so do network outputs, because their type would change.
    """

    name = "integer-indices"

    def apply(self, graph: Graph) -> Graph:
        whole = _whole_numbers(graph)
        turned = {op.name for op in graph.inputs if op.name in whole} - _integers(graph)
        if not turned:
            return graph
        return graph.rebuilt(
            op.with_(type=replace(op.type, dtype=DType.INT32)) if op.name in turned else op
            for op in graph.ops
        )


def _integers(graph: Graph) -> set[str]:
    return {op.name for op in graph.inputs if op.type.dtype is not DType.FP32}


def _whole_numbers(graph: Graph) -> set[str]:
    """Inputs, and moved inputs, of which only indices are made."""
    users = graph.users()
    found = {op.name for op in graph.ops if isinstance(op, (Input, Movement))}
    while True:
        wrong = {name for name in found if not _only_indices(graph, name, users[name], found)}
        if not wrong:
            return found
        found -= wrong


def _only_indices(graph: Graph, name: str, users: Sequence[Op], found: set[str]) -> bool:
    """Whether a value consists of, and goes to, nothing but (so far) whole numbers."""
    if not users or name in graph.outputs or not found.issuperset(graph[name].inputs):
        return False
    looked_up = (isinstance(user, Embedding) and user.inputs[1] != name for user in users)
    return all(a or user.name in found for a, user in zip(looked_up, users, strict=True))
