"""How much a network multiplies."""

from __future__ import annotations

import math

from cvi.ir import Graph, Op
from cvi.ops import Conv2d, ConvTranspose2d, FullyConnected, MatMul, Recurrent


def macs(graph: Graph, op: Op) -> int:
    """Multiply-accumulates of one layer; 0 for all but convolutions and matrix products."""
    if isinstance(op, Conv2d):
        return op.type.elements * math.prod(graph.type_of(op.inputs[1]).shape[1:])
    if isinstance(op, ConvTranspose2d):
        read = graph.type_of(op.inputs[0])
        return read.elements * math.prod(graph.type_of(op.inputs[1]).shape[1:])
    if isinstance(op, Recurrent):
        steps, batch, _ = graph.type_of(op.inputs[0]).shape
        return steps * batch * sum(graph.type_of(name).elements for name in op.inputs[1:3])
    if isinstance(op, (FullyConnected, MatMul)):
        return op.type.elements * graph.type_of(op.inputs[0]).shape[-1]
    return 0
