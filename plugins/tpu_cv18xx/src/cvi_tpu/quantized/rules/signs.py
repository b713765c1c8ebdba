"""What is known of the sign of a float layer's values."""

from __future__ import annotations

from cvi.ir import Graph, Op
from cvi.ops import (
    Abs,
    AvgPool2d,
    Clip,
    Exp,
    MaxPool2d,
    Movement,
    Pad,
    Relu,
    Sigmoid,
    Softmax,
    Sqrt,
)

_NEVER = (Abs, Exp, Relu, Sqrt)
_KEEPS = (AvgPool2d, MaxPool2d, Movement)
"""Ops whose result is not negative when their operands are not."""


def never_negative(graph: Graph, name: str) -> bool:
    """Whether no value of the tensor can be below 0, whatever the network's input is."""
    if name in graph.constants:
        return bool((graph.constants[name] >= 0).all())
    op = graph.get(name)
    if op is None or (isinstance(op, Pad) and op.mode == "constant" and op.value < 0):
        return False
    keeps = isinstance(op, _KEEPS) and all(never_negative(graph, x) for x in op.inputs)
    return keeps or _ends_above(op)


def _ends_above(op: Op) -> bool:
    """Whether the op itself sees to it."""
    if isinstance(op, Sigmoid):
        return min(op.bias, op.scale + op.bias) >= 0
    if isinstance(op, Softmax):
        return not op.log
    if isinstance(op, Clip):
        return op.minimum >= 0
    return isinstance(op, _NEVER) or bool(getattr(op, "relu", False))
