"""Comparisons, logic and selection. Booleans of data are ones and zeros."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from cvi import ops
from cvi.ir import Array, Op, Shape
from cvi_frontend_onnx.node import Node
from cvi_frontend_onnx.registry import converts
from cvi_frontend_onnx.values import Value, as_fp32, is_float

_COMPARE: dict[str, tuple[str, Callable[[Array, Array], Any]]] = {
    "Equal": ("equal", np.equal),
    "Less": ("less", np.less),
    "LessOrEqual": ("less_equal", np.less_equal),
    "Greater": ("greater", np.greater),
    "GreaterOrEqual": ("greater_equal", np.greater_equal),
}

_TURNED = {"less": "greater", "less_equal": "greater_equal"}
_TURNED |= {after: before for before, after in _TURNED.items()}

_LOGIC: dict[str, tuple[type[Op], Callable[[Array, Array], Any]]] = {
    "And": (ops.Mul, np.logical_and),
    "Or": (ops.Max, np.logical_or),
}

_BOOL = np.dtype(np.bool_)
_STEEP = 15.0
"""From here on softplus(x) and x are the same in fp32."""


def _boolean(value: Value) -> Value:
    """A layer of ones and zeros as what the model calls it."""
    return replace(value, dtype=_BOOL)


def _numbers(node: Node, x: Value) -> Value:
    """Booleans of data as numbers."""
    if x.array is not None:
        return Value.of(as_fp32(x.array), x.name)
    if x.dtype.kind != "b" or x.grid is not None:
        node.refuse(f"on data of type {x.dtype}")
    return replace(x, dtype=np.dtype(np.float32))


@converts(*_COMPARE)
def compare(node: Node) -> Value:
    """On data: a step function of it, or of the difference of two tensors."""
    which, function = _COMPARE[node.op_type]
    a, b = node.operand(0), node.operand(1)
    if node.is_constant:
        x, y = node.arrays()
        node.will_compute(np.broadcast_shapes(x.shape, y.shape))
        return node.fold(function(x, y))
    if a.array is not None:
        a, b, which = b, a, _TURNED.get(which, which)
    number = _number(b)
    if number is not None and np.broadcast_shapes(a.shape, b.shape) == a.shape:
        op = ops.Compare(name=node.layer, which=which, value=number)
        return _boolean(node.emit(op, a))
    difference = node.emit(ops.Sub(name=node.helper("difference")), a, b)
    return _boolean(node.emit(ops.Compare(name=node.layer, which=which), difference))


def _number(value: Value) -> float | None:
    """A constant all of whose elements are one number."""
    if value.array is None or not value.elements:
        return None
    first = as_fp32(value.array).flat[0]
    return float(first) if np.all(value.array == value.array.flat[0]) else None


@converts(*_LOGIC)
def logic(node: Node) -> Value:
    """Of data: the product, or the greater one."""
    kind, function = _LOGIC[node.op_type]
    if node.is_constant:
        a, b = node.arrays()
        node.will_compute(np.broadcast_shapes(a.shape, b.shape))
        return node.fold(function(a, b))
    operands = [_numbers(node, node.operand(i)) for i in (0, 1)]
    return _boolean(node.emit(kind(name=node.layer), *operands))


@converts("Xor")
def exclusive(node: Node) -> Value:
    a, b = node.arrays()
    node.will_compute(np.broadcast_shapes(a.shape, b.shape))
    return node.fold(np.logical_xor(a, b))


@converts("Not")
def negation(node: Node) -> Value:
    x = node.operand(0)
    if x.array is not None:
        return node.fold(np.logical_not(x.array))
    op = ops.Compare(name=node.layer, which="equal", value=0.0)
    return _boolean(node.emit(op, _numbers(node, x)))


@converts("Trilu")
def triangle(node: Node) -> Value:
    """Of data: times a mask of ones and zeros."""
    from cvi_frontend_onnx.constants import evaluate_node

    x = node.operand(0)
    if node.is_constant:
        return node.fold(evaluate_node(node, node.arrays())[0])
    shift = node.optional_constant(1, "the diagonal")
    k, upper = 0 if shift is None else int(shift.item()), node.attributes.flag("upper", True)
    node.will_compute(x.shape[-2:])
    below = np.tri(x.shape[-2], x.shape[-1], k=k - 1 if upper else k, dtype=np.float32)
    return node.emit(ops.Mul(name=node.layer), x, 1 - below if upper else below)


@converts("Where")
def where(node: Node) -> Value:
    """Data is multiplied by masks of ones and zeros, and added."""
    condition, a, b = (node.operand(i) for i in range(3))
    shape = np.broadcast_shapes(condition.shape, a.shape, b.shape)
    if condition.array is None:
        return _chosen_by_data(node, condition, a, b)
    mask = condition.array.astype(bool)
    if a.array is not None and b.array is not None:
        node.will_compute(shape)
        return node.fold(np.where(mask, a.array, b.array))
    if mask.all() or not mask.any():
        return _expanded(node, a if mask.all() else b, shape)
    parts = [_masked(node, a, mask, "true"), _masked(node, b, ~mask, "false")]
    return _expanded(node, node.emit(ops.Add(name=node.layer), *parts), shape)


def _masked(node: Node, x: Value, mask: Array, suffix: str) -> Value | Array:
    """x where the mask is set, else 0."""
    if x.array is None:
        return node.emit(ops.Mul(name=node.helper(suffix)), x, mask.astype(np.float32))
    node.will_compute(np.broadcast_shapes(x.shape, mask.shape))
    return np.where(mask, as_fp32(x.array), np.float32(0))


def _expanded(node: Node, x: Value, shape: Shape) -> Value:
    """x broadcast to the shape of the result."""
    if x.shape == shape:
        return x
    if x.array is not None:
        node.will_compute(shape)
        return node.fold(np.broadcast_to(x.array, shape))
    aligned = (1,) * (len(shape) - x.rank) + x.shape
    repeats = tuple(big // small for big, small in zip(shape, aligned, strict=True))
    flat = node.emit(ops.Reshape(name=node.helper("shape"), shape=aligned), x)
    return node.emit(ops.Tile(name=node.layer, repeats=repeats), flat)


def _chosen_by_data(node: Node, condition: Value, a: Value, b: Value) -> Value:
    """mask * a + (1 - mask) * b."""
    if _is_softplus(node, condition, a, b):
        return b
    for value in (a, b):
        if value.array is not None and not np.all(np.isfinite(as_fp32(value.array))):
            node.refuse("chooses between data and infinity; only numbers are supported")
        if value.array is None and not is_float(value.dtype):
            node.refuse(f"chooses data of type {value.dtype}")
    mask = _numbers(node, condition)
    other = mask
    if b.array is None or np.any(b.array):
        other = node.emit(ops.Compare(name=node.helper("other"), which="equal", value=0.0), mask)
    parts = [
        (suffix, m, Value.of(as_fp32(v.array), v.name) if v.array is not None else v)
        for suffix, m, v in (("true", mask, a), ("false", other, b))
        if v.array is None or np.any(v.array)
    ]
    if len(parts) == 2:
        chosen = [node.emit(ops.Mul(name=node.helper(s)), m, v) for s, m, v in parts]
        return node.emit(ops.Add(name=node.layer), *chosen)
    factor = parts[0][1:] if parts else (mask, np.zeros(1, np.float32))
    shape = np.broadcast_shapes(condition.shape, a.shape, b.shape)
    return _expanded(node, node.emit(ops.Mul(name=node.layer), *factor), shape)


def _is_softplus(node: Node, condition: Value, a: Value, b: Value) -> bool:
    """Softplus as PyTorch writes it: x itself where x is so large that it makes no difference."""
    test, soft = node.producer(condition), node.producer(b)
    if not isinstance(test, ops.Compare) or not isinstance(soft, ops.Softplus):
        return False
    steep = test.which == "greater" and test.value >= _STEEP
    plain = (soft.scale, soft.bias) == (1.0, 0.0)
    return steep and plain and test.inputs == soft.inputs == (a.name,)
