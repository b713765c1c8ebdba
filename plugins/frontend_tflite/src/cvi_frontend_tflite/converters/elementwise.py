"""Arithmetic on two or more tensors, with broadcasting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from cvi import ops
from cvi.ir import Array
from cvi_frontend_tflite.fused import emit_activated
from cvi_frontend_tflite.node import Node
from cvi_frontend_tflite.registry import converts
from cvi_frontend_tflite.values import Order, Value, in_order, usual_order

_OPS: dict[str, type[ops.Eltwise]] = {
    "ADD": ops.Add,
    "SUB": ops.Sub,
    "MUL": ops.Mul,
    "DIV": ops.Div,
    "MAXIMUM": ops.Max,
    "MINIMUM": ops.Min,
}

_WITHOUT_ACTIVATION = ("MAXIMUM", "MINIMUM")


def _truncating_division(a: Array, b: Array) -> Array:
    quotient = np.abs(a) // np.abs(b)
    return np.asarray(np.where((a < 0) == (b < 0), quotient, -quotient))


_ON_INTEGERS: dict[str, Callable[[Array, Array], Any]] = {
    "ADD": np.add,
    "SUB": np.subtract,
    "MUL": np.multiply,
    "DIV": _truncating_division,
    "MAXIMUM": np.maximum,
    "MINIMUM": np.minimum,
    "POW": np.power,
    "SQUARED_DIFFERENCE": lambda a, b: np.square(a - b),
}


def aligned(node: Node, values: Sequence[Value]) -> tuple[list[Value], Order]:
    """Operands that broadcast with each other, all held in one order."""
    rank = max(v.rank for v in values)
    wide = [_widened(node, v, rank) for v in values]
    order = common_order(node, wide)
    return [node.held(v, order) for v in wide], order


def common_order(node: Node, values: Sequence[Value]) -> Order:
    """The order for which the least is moved; of several the usual one: that of images for
    4 dimensions, else in order."""
    computed = [v.order for v in values if v.array is None] or [values[0].order]
    usual = usual_order(values[0].rank)
    candidates = [usual] * (usual in computed) + computed
    return min(candidates, key=lambda order: sum(node.moves(v, order) for v in values))


def _widened(node: Node, v: Value, rank: int) -> Value:
    """The tensor with dimensions of one element in front, still in its layer's order."""
    extra = rank - v.rank
    if not extra:
        return v
    shape = (1,) * extra + v.shape
    if v.array is not None:
        return Value.of(v.array.reshape(shape), v.name)
    order = in_order(extra) + tuple(i + extra for i in v.order)
    held = tuple(shape[i] for i in order)
    return node.emit(ops.Reshape(name=f"{v.name}_widened", shape=held), v, order=order)


def on_integers(node: Node) -> Value:
    """The result of an op on constant integers (shape arithmetic)."""
    a, b = node.arrays()
    node.will_compute(np.broadcast_shapes(a.shape, b.shape))
    if node.name == "DIV" and not np.all(b):
        node.broken("division by zero")
    return node.fold(np.asarray(_ON_INTEGERS[node.name](a, b)).astype(a.dtype))


def _integers(node: Node) -> bool:
    return node.is_constant and not all(v.is_float for v in node.operands())


@converts(*_OPS)
def arithmetic(node: Node) -> Value:
    if _integers(node):
        return on_integers(node)
    operands, order = aligned(node, (node.operand(0), node.operand(1)))
    emit = node.emit if node.name in _WITHOUT_ACTIVATION else partial(emit_activated, node)
    return emit(_OPS[node.name](name=node.layer), *operands, order=order)


@converts("ADD_N")
def add_n(node: Node) -> Value:
    operands, order = aligned(node, node.operands())
    if len(operands) == 1:
        return operands[0]
    return node.emit(ops.Add(name=node.layer), *operands, order=order)


@converts("SQUARED_DIFFERENCE")
def squared_difference(node: Node) -> Value:
    if _integers(node):
        return on_integers(node)
    operands, order = aligned(node, (node.operand(0), node.operand(1)))
    difference = node.emit(ops.Sub(name=node.helper("difference")), *operands, order=order)
    return node.emit(ops.Pow(name=node.layer, exponent=2.0), difference, order=order)


@converts("POW")
def power(node: Node) -> Value:
    if _integers(node):
        return on_integers(node)
    x, exponent = node.operand(0), node.constant(1, "the exponent")
    if exponent.size != 1 or exponent.ndim > x.rank:
        node.refuse("has an exponent per element; one for all is supported")
    op = ops.Pow(name=node.layer, exponent=float(exponent.reshape(())))
    return node.emit(op, x, order=x.order)
