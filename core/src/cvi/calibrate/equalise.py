"""Cross-layer equalisation: channels of neighbouring filters brought to one range.

Between two filters the channels of a tensor may be scaled, if the first one's weights are divided
by the scales and the second one's multiplied with them. The scale of a channel is the one that
gives both sides the same largest weight, sqrt(r1 / r2), to the next power of two: the network
computes the same numbers as before but for these powers, to the bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from cvi.ir import Array, Graph, Op
from cvi.ops import (
    AvgPool2d,
    Concat,
    Conv2d,
    FullyConnected,
    LeakyRelu,
    MaxPool2d,
    PRelu,
    Relu,
    Reshape,
    Upsample,
)

_ROUNDS = 20  # chains of layers settle after a few

_PASSES = (AvgPool2d, LeakyRelu, MaxPool2d, PRelu, Upsample)
"""Ops that give a scaled channel scaled, whatever positive scale it is."""


def equalised(graph: Graph) -> tuple[Graph, int]:
    """The graph with equalised filters, and how many tensors between filters were scaled.

    Tensors are scaled that a convolution or a fully connected layer makes and only such layers
    read, through pools, relus without an upper bound and concatenations of channels.
    """
    made = graph.replace()
    joints = _joints(made)
    changed: set[str] = set()
    for _ in range(_ROUNDS):
        moved = [joint.layer.name for joint in joints if _balance(made, joint)]
        changed.update(moved)
        if not moved:
            break
    return made, len(changed)


@dataclass(frozen=True)
class _Reader:
    """A layer that reads the channels from `first` on, each as so many columns of its weights."""

    layer: Op
    first: int
    columns: int = 1


@dataclass(frozen=True)
class _Joint:
    """A layer and all that read its result."""

    layer: Op
    readers: tuple[_Reader, ...]


def _joints(graph: Graph) -> list[_Joint]:
    uses, users = graph.use_counts(), graph.users()

    def own(name: str) -> bool:
        """Whether a constant belongs to one layer only."""
        return name in graph.constants and uses[name] == 1

    def readers(name: str, first: int, columns: int) -> list[_Reader] | None:
        """All filters that read a value; None when something else does."""
        found: list[_Reader] = []
        if name in graph.outputs:
            return None
        for user in users[name]:
            more = _through(graph, user, name, first, columns)
            if more is not None:
                behind = readers(user.name, *more)
            elif _is_filter(graph, user) and user.inputs[0] == name and own(user.inputs[1]):
                behind = [_Reader(user, first, columns)]
            else:
                return None
            if behind is None:
                return None
            found += behind
        return found

    joints = []
    for op in graph.ops:
        if not _is_filter(graph, op) or getattr(op, "relu_max", None) is not None:
            continue
        if own(op.inputs[1]) and (not op.inputs[2] or own(op.inputs[2])):
            behind = readers(op.name, 0, 1)
            if behind:
                joints.append(_Joint(op, tuple(behind)))
    return joints


def _is_filter(graph: Graph, op: Op) -> bool:
    """A layer whose channels are rows of its weights, and which pads with nothing but 0; of
    grouped convolutions only depthwise ones."""
    if isinstance(op, FullyConnected):
        return len(op.type.shape) == 2
    if not isinstance(op, Conv2d) or op.pad_value:
        return False
    read = graph.type_of(op.inputs[0]).shape[1]
    return op.group == 1 or op.group == op.type.shape[1] == read


def _through(graph: Graph, op: Op, name: str, first: int, columns: int) -> tuple[int, int] | None:
    """Where the channels of an operand lie in the result of an op that lets scales pass; None
    for other ops."""
    shape = graph.type_of(name).shape
    if isinstance(op, _PASSES) or (isinstance(op, Relu) and op.maximum is None):
        return (first, columns) if op.inputs[0] == name else None
    if isinstance(op, Concat) and op.axis == 1 and op.inputs.count(name) == 1:
        ahead = op.inputs[: op.inputs.index(name)]
        return first + columns * sum(graph.type_of(one).shape[1] for one in ahead), columns
    flat = (shape[0], prod(shape[1:]))
    if isinstance(op, Reshape) and len(shape) == 4 and op.type.shape == flat:
        pixels = shape[2] * shape[3]
        return first * pixels, columns * pixels
    return None


def _balance(graph: Graph, joint: _Joint) -> bool:
    """Scale the channels between a layer and its readers; whether any scale is not 1."""
    weight = graph.constants[joint.layer.inputs[1]]
    channels = len(weight)
    made, read = _largest(weight), np.zeros(channels)
    for reader in joint.readers:
        columns = _columns(graph.constants[reader.layer.inputs[1]], reader, channels)
        read = np.maximum(read, _largest(columns))
    used = (made > 0) & (read > 0)
    ratios = np.divide(made, read, out=np.ones(channels), where=used)
    powers = np.rint(np.log2(ratios) / 2).astype(int)
    if not powers.any():
        return False
    for name in joint.layer.inputs[1:3]:
        if name:
            graph.constants[name] = _scaled(graph.constants[name], -powers)
    for reader in joint.readers:
        name = reader.layer.inputs[1]
        graph.constants[name] = graph.constants[name].copy()
        columns = _columns(graph.constants[name], reader, channels)
        columns[...] = _scaled(columns, powers)
    return True


def _largest(values: Array) -> Array:
    """Of values[channels, ...] the largest size per channel."""
    rows = values.reshape(len(values), -1)
    largest: Array = np.abs(rows).max(axis=1, initial=0).astype(np.float64)
    return largest


def _columns(weight: Array, reader: _Reader, channels: int) -> Array:
    """The part of a reader's weights that multiplies the channels, channels first: a view."""
    layer = reader.layer
    if isinstance(layer, Conv2d) and layer.group > 1:
        return weight[reader.first : reader.first + channels]
    size = channels * reader.columns
    part = weight[:, reader.first : reader.first + size]
    split = part.reshape(len(weight), channels, reader.columns, *weight.shape[2:])
    return np.moveaxis(split, 1, 0)


def _scaled(values: Array, powers: Array) -> Array:
    """values[channels, ...] times powers of two."""
    scaled: Array = np.ldexp(values, powers.reshape(-1, *[1] * (values.ndim - 1)))
    return scaled.astype(values.dtype)
