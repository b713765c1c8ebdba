"""A fully connected layer can take, or give, its elements in another order."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from cvi.ir import Array, Op
from cvi.ops import FullyConnected, Permute, Reshape, Unary
from cvi.passes.base import RewritePass
from cvi.passes.edit import Edit, Replacement


class FoldPermutes(RewritePass):
    """A Permute before or behind a FullyConnected with constant weights moves its columns
    or rows instead of the data:

    1. Permute of [n, ...], flattened to the operand [n, k];
    2. the result [n, k], folded to [n, ...], then a Permute.

    n stays in front. Reshapes and element-wise functions may stand between; they then
    see the elements in the other order, and no longer equal a tensor of the model.
    """

    name = "fold-permutes"
    requires = ("merge-reshapes",)

    def rewrite(self, op: Op, edit: Edit) -> Replacement:
        if isinstance(op, FullyConnected):
            return _before(op, edit)
        return _behind(op, edit) if isinstance(op, Permute) else None


def _before(op: FullyConnected, edit: Edit) -> Replacement:
    chain, permute = _chain(op.inputs[0], edit)
    weight = edit.constant(op.inputs[1])
    if not isinstance(permute, Permute) or weight is None:
        return None
    if len(edit.type_of(op.inputs[0]).shape) != 2:
        return None
    rows = edit.type_of(op.inputs[0]).shape[0]
    shape = edit.type_of(permute.inputs[0]).shape
    taken = _taken(shape, permute.order, rows)
    if taken is None:
        return None
    columns = np.empty_like(weight)
    columns[:, taken] = weight
    w = edit.add_constant(f"{op.name}_weight", columns)
    first = Reshape(name=permute.name, shape=permute.type.shape, inputs=permute.inputs)
    moved = _renamed([first, *chain], permute.inputs[0], edit)
    return [*moved, op.with_(inputs=(moved[-1].name, w, *op.inputs[2:]))]


def _behind(op: Permute, edit: Edit) -> Replacement:
    chain, layer = _chain(op.inputs[0], edit)
    if not isinstance(layer, FullyConnected) or len(layer.type.shape) != 2:
        return None
    weight, bias = (edit.constant(name) for name in (*layer.inputs, "")[1:3])
    if weight is None or (bias is None and len(layer.inputs) > 2 and layer.inputs[2]):
        return None
    taken = _taken(edit.type_of(op.inputs[0]).shape, op.order, layer.type.shape[0])
    if taken is None:
        return None
    w = edit.add_constant(f"{layer.name}_weight", weight[taken])
    b = "" if bias is None else edit.add_constant(f"{layer.name}_bias", bias[taken])
    first = layer.with_(inputs=(layer.inputs[0], w, b))
    moved = _renamed([first, *chain], layer.inputs[0], edit)
    last = Reshape(name=op.name, shape=op.type.shape, inputs=(moved[-1].name,), source=op.source)
    return [*moved, last]


def _chain(name: str, edit: Edit) -> tuple[list[Op], Op | None]:
    """Reshapes and element-wise ops that end in that layer, and the op before them; all
    of them read by nobody else."""
    chain: list[Op] = []
    op = edit.single(name)
    while isinstance(op, (Reshape, Unary)):
        chain.insert(0, op)
        op = edit.single(op.inputs[0])
    return chain, op


def _taken(shape: Sequence[int], order: Sequence[int], rows: int) -> Array | None:
    """For every element of a permuted row the place in the row before; None when the
    Permute does more than move elements within `rows` rows."""
    if rows != 1 and (order[0] != 0 or shape[0] != rows):
        return None
    places: Array = np.arange(math.prod(shape) // rows)
    if rows == 1:
        return np.ravel(places.reshape(shape).transpose(order))
    return np.ravel(places.reshape(shape[1:]).transpose([i - 1 for i in order[1:]]))


def _renamed(ops: Sequence[Op], reads: str, edit: Edit) -> list[Op]:
    """The ops one behind the other under new names, for their elements have another order;
    thresholds stay valid."""
    renamed: list[Op] = []
    for op in ops:
        name = edit.fresh(f"{op.name}_moved")
        if op.name in edit.graph.thresholds:
            edit.graph.thresholds[name] = edit.graph.thresholds[op.name]
        renamed.append(op.with_(name=name, source="", inputs=(reads, *op.inputs[1:])))
        reads = name
    return renamed
