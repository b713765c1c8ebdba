"""Moves data movement to the integer side of casts, and gives CPU functions shapes they take.

Moving elements commutes with casting them, and int8 elements are a quarter as many bytes
as fp32 ones; what would be a TPU segment of its own between CPU functions disappears.
"""

from __future__ import annotations

from math import prod

import numpy as np

from cvi.ir import Graph, Op
from cvi.ops import Concat, Pad, Reshape
from cvi.ops.movement import Movement, stored_value
from cvi_tpu.quantized.ops import CpuSoftmax, Dequantize, Quantize

FILE_DIMS = 4
"""Dimensions of a tensor that the runtime looks at (FACTS_CVIMODEL 5)."""


def prepare(graph: Graph, *, keep_all: bool = False) -> Graph:
    """The graph as it is cut into segments: the same results with less to move.

    keep_all: results that are not needed any more stay in the graph.
    """
    graph = _reshaped_softmax(graph)
    while (changed := _hoisted(graph) or _sunk(graph)) is not None:
        graph = changed
    return graph if keep_all else _pruned(graph)


def _pruned(graph: Graph) -> Graph:
    """Without ops whose results nobody reads; inputs stay."""
    needed = set(graph.outputs) | {op.name for op in graph.inputs}
    for op in reversed(graph.ops):
        if op.name in needed:
            needed.update(op.inputs)
    return graph.replace(ops=[op for op in graph.ops if op.name in needed])


def _reshaped_softmax(graph: Graph) -> Graph:
    """Softmax over a tensor of more than four dims becomes one over (outer, axis, inner)."""
    new = Graph(graph.name, [], graph.outputs, graph.constants)
    for op in graph.ops:
        if not isinstance(op, CpuSoftmax) or len(op.type.shape) <= FILE_DIMS:
            new.add(op)
            continue
        shape = op.type.shape
        flat = (prod(shape[: op.axis]), shape[op.axis], prod(shape[op.axis + 1 :]))
        before = new.add(Reshape(name=graph.fresh(f"{op.name}_rows"), inputs=op.inputs, shape=flat))
        rows = new.add(
            CpuSoftmax(name=graph.fresh(f"{op.name}_flat"), inputs=(before.name,), axis=1)
        )
        new.add(Reshape(name=op.name, inputs=(rows.name,), shape=shape, source=op.source))
    return new


def _hoisted(graph: Graph) -> Graph | None:
    """One movement op above the Dequantize that feeds it, None when there is none."""
    for index, op in enumerate(graph.ops):
        casts = [graph.get(name) for name in op.inputs]
        if not _movable(op) or not casts:
            continue
        dequantized = [c for c in casts if isinstance(c, Dequantize)]
        if len(dequantized) < len(casts) or len({c.scale for c in dequantized}) > 1:
            continue
        scale = dequantized[0].scale
        if not _fill_survives(graph, op, dequantized[0]):
            continue
        sources = tuple(c.inputs[0] for c in dequantized)
        moved = op.with_(name=graph.fresh(f"{op.name}_int8"), inputs=sources, source="")
        cast = Dequantize(name=op.name, inputs=(moved.name,), scale=scale, source=op.source)
        ops = [*graph.ops[:index], moved, cast, *graph.ops[index + 1 :]]
        return _retyped(graph, ops)
    return None


def _sunk(graph: Graph) -> Graph | None:
    """One Quantize above the movement op that feeds it, None when there is none."""
    users = graph.users()
    for index, cast in enumerate(graph.ops):
        op = graph.get(cast.inputs[0]) if isinstance(cast, Quantize) else None
        if op is None or not isinstance(cast, Quantize) or not _movable(op):
            continue
        alone = len(users[op.name]) == 1 and op.name not in graph.outputs
        if isinstance(op, (Concat, Pad)) or not alone:
            continue
        early = Quantize(name=graph.fresh(f"{op.name}_int8"), inputs=op.inputs, scale=cast.scale)
        moved = op.with_(name=cast.name, inputs=(early.name,), source=cast.source)
        rest = [o for o in graph.ops[:index] if o is not op]
        return _retyped(graph, [*rest, early, moved, *graph.ops[index + 1 :]])
    return None


def _movable(op: Op) -> bool:
    return isinstance(op, Movement) and op.type.dtype.is_float


def _fill_survives(graph: Graph, op: Op, cast: Dequantize) -> bool:
    """Whether a Pad's value is one that the integers have."""
    if not isinstance(op, Pad) or op.mode != "constant":
        return True
    # after the move the value is rounded by the operand's own scale
    integer = stored_value(op.value, graph.type_of(cast.inputs[0]))
    return bool(np.float32(integer) * np.float32(cast.scale) == np.float32(op.value))


def _retyped(graph: Graph, ops: list[Op]) -> Graph:
    """A graph of these ops with types inferred again."""
    new = Graph(graph.name, [], graph.outputs, graph.constants)
    for op in ops:
        new.add(op)
    return new
