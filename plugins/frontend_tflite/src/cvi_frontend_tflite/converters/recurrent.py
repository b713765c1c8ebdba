"""Recurrent layers."""

from __future__ import annotations

import numpy as np

from cvi import ops
from cvi.ir import Array
from cvi_frontend_tflite.node import Node
from cvi_frontend_tflite.registry import converts
from cvi_frontend_tflite.values import Value, in_order

_GATES = (0, 3, 1, 2)
"""TFLite's gates are input, forget, cell, output; those of the op input, output, forget, cell."""

_WEIGHTS, _RECURRENT, _BIASES = 1, 5, 12
_UNSUPPORTED = {
    "peepholes": (9, 10, 11),
    "a projection": (16, 17),
    "layer normalisation": (20, 21, 22, 23),
}
_TANH = 4


@converts("UNIDIRECTIONAL_SEQUENCE_LSTM")
def lstm(node: Node) -> Value:
    """The sequence of hidden states. The states before the first step are zero."""
    _refuse_variants(node)
    x, time_first = node.operand(0), bool(node.option("TimeMajor", False))
    if x.rank != 3:
        node.broken(f"reads a tensor of {x.rank} dimensions instead of 3")
    order = in_order(3) if time_first else (1, 0, 2)
    weights, recurrent = _gates(node, _WEIGHTS), _gates(node, _RECURRENT)
    bias = _gates(node, _BIASES)
    both = np.concatenate([bias, np.zeros_like(bias)], axis=1)
    op = ops.Lstm(name=node.helper("steps"), direction="forward")
    steps = node.emit(op, node.held(x, order), weights, recurrent, both, None, None)
    length, _, batch, size = steps.shape
    shape = (length, batch, size)
    return node.emit(ops.Reshape(name=node.layer, shape=shape), steps, order=order)


def _refuse_variants(node: Node) -> None:
    for what, indices in _UNSUPPORTED.items():
        if any(node.optional(i) is not None for i in indices):
            node.refuse(f"has {what}")
    if node.optional(_WEIGHTS) is None:
        node.refuse("couples its input gate to the forget gate")
    if node.types[0] != "FLOAT32":
        node.refuse("computes with integers")
    if node.option("FusedActivationFunction", _TANH) != _TANH:
        node.refuse("has another activation than TANH")
    if node.option("CellClip", 0.0) or node.option("ProjClip", 0.0):
        node.refuse("limits its states")


def _gates(node: Node, first: int) -> Array:
    """The parameters of four gates, one behind the other: [1, 4 * size, ...]."""
    parts = [node.constant(first + gate, "the parameters of a gate") for gate in _GATES]
    return np.concatenate(parts)[None]
