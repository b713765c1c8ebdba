"""Recurrent layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from cvi import ops
from cvi.ir import Array
from cvi_frontend_onnx.converters.select import cut, whole
from cvi_frontend_onnx.node import Node
from cvi_frontend_onnx.registry import converts
from cvi_frontend_onnx.values import Value, as_fp32

_FUNCTIONS = {"LSTM": ("sigmoid", "tanh", "tanh"), "GRU": ("sigmoid", "tanh")}
_DIRECTIONS = {"forward": 1, "reverse": 1, "bidirectional": 2}

Make = Callable[[str, str], ops.Recurrent]
"""From a layer's name and which result it gives to the op."""


@converts("LSTM")
def lstm(node: Node) -> list[Value]:
    if node.attributes.flag("input_forget"):
        node.refuse("couples the input and forget gates")
    if node.optional(7) is not None and np.any(node.constant(7, "the peepholes")):
        node.refuse("has peepholes")
    direction = _direction(node)
    return _layers(
        node, lambda name, result: ops.Lstm(name=name, direction=direction, result=result)
    )


@converts("GRU")
def gru(node: Node) -> list[Value]:
    linear = node.attributes.flag("linear_before_reset")
    direction = _direction(node)
    return _layers(
        node,
        lambda name, result: ops.Gru(
            name=name, direction=direction, result=result, linear_before_reset=linear
        ),
    )


def _direction(node: Node) -> str:
    """The direction; refuses other activations than the usual ones, and clipping."""
    direction = node.attributes.string("direction", "forward")
    if direction not in _DIRECTIONS:
        node.broken(f"direction is {direction!r}")
    usual = _FUNCTIONS[node.op_type] * _DIRECTIONS[direction]
    given = b" ".join(node.attributes.strings("activations", ())).decode("utf-8", "replace")
    if given and tuple(given.lower().split()) != usual:
        node.refuse(f"has the activations {given}")
    if "clip" in node.attributes and node.attributes.number("clip"):
        node.refuse("clips its activations")
    node.attributes.ignore("activation_alpha", "activation_beta", "hidden_size")
    return direction


def _layers(node: Node, make: Make) -> list[Value]:
    """All outputs. The last hidden state is cut out of the sequence when that is there too."""
    x, operands = _operands(node)
    wanted = [i < len(node.outputs) and node.outputs[i] != "" for i in range(3)]
    sequence = node.emit(make(node.layer_of(0), "sequence"), x, *operands) if wanted[0] else None
    results = [sequence]
    for index, result in list(enumerate(("hidden", "cell"), 1))[: len(node.outputs) - 1]:
        value = None
        if wanted[index] and result == "hidden" and sequence is not None:
            value = _last(node, make("", "hidden").direction, sequence)
        elif wanted[index]:
            value = node.emit(make(node.layer_of(index), result), x, *operands)
        results.append(value)
    placeholder = next(value for value in results if value is not None)
    return [placeholder if value is None else value for value in results]


def _operands(node: Node) -> tuple[Value, list[Value | None]]:
    """x[T, N, I] and w, r, b, the initial states; states of zeros are left out."""
    if node.attributes.flag("layout"):
        node.refuse("has the batch first (layout 1), which onnxruntime does not run")
    x = node.operand(0)
    if x.rank != 3:
        node.broken(f"reads a tensor of {x.rank} dimensions")
    lengths = node.optional_constant(4, "the lengths of the sequences")
    if lengths is not None and np.any(lengths != x.shape[0]):
        node.refuse("has sequences that are shorter than the tensor")
    parameters = [_parameter(node, i) for i in (1, 2, 3)]
    last = 7 if node.op_type == "LSTM" else 6
    return x, [*parameters, *(_state(node, x, i) for i in range(5, last))]


def _parameter(node: Node, index: int) -> Value | None:
    array = node.optional_constant(index, ("", "the weight", "the recurrence", "the bias")[index])
    given = node.optional(index)
    return None if array is None or given is None else Value.of(as_fp32(array), given.name)


def _state(node: Node, x: Value, index: int) -> Value | None:
    """An initial state; one made for the model's own batch is repeated for the new one."""
    state = node.optional(index)
    if state is None or state.array is None:
        return state
    array = as_fp32(state.array)
    if not np.any(array):
        return None
    return Value.of(_batched(node, array, x.shape[1]), state.name)


def _batched(node: Node, array: Array, batch: int) -> Array:
    if node.batch is None or array.ndim != 3 or array.shape[1] == batch:
        return array
    rows: Sequence[int] = array.shape
    repeats = batch // max(rows[1], 1)
    return np.tile(array, (1, max(repeats, 1), 1))


def _last(node: Node, direction: str, sequence: Value) -> Value:
    """The hidden state after the last step: [dirs, N, H] out of [T, dirs, N, H]."""
    steps, _, batch, hidden = sequence.shape
    ends = {"forward": (steps - 1,), "reverse": (0,)}.get(direction, (steps - 1, 0))
    parts = []
    for d, end in enumerate(ends):
        ranges = whole(sequence)
        ranges[:2] = range(end, end + 1), range(d, d + 1)
        parts.append(cut(f"{node.layer_of(1)}_step{d}", node, sequence, ranges))
    last = parts[0]
    if len(parts) > 1:
        last = node.emit(ops.Concat(name=f"{node.layer_of(1)}_concat", axis=1), *parts)
    shape = (len(parts), batch, hidden)
    return node.emit(ops.Reshape(name=node.layer_of(1), shape=shape), last)
