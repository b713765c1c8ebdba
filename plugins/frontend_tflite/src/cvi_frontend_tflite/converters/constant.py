"""Ops that only constants go through: shape arithmetic, folded at import."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from cvi.ir import Array
from cvi_frontend_tflite.node import Node
from cvi_frontend_tflite.registry import converts
from cvi_frontend_tflite.tensors import FLOATS
from cvi_frontend_tflite.values import Value

_BINARY: dict[str, Callable[[Array, Array], Any]] = {
    "EQUAL": np.equal,
    "NOT_EQUAL": np.not_equal,
    "LESS": np.less,
    "LESS_EQUAL": np.less_equal,
    "GREATER": np.greater,
    "GREATER_EQUAL": np.greater_equal,
    "LOGICAL_AND": np.logical_and,
    "LOGICAL_OR": np.logical_or,
    "FLOOR_DIV": np.floor_divide,
    "FLOOR_MOD": np.mod,
}
_UNARY: dict[str, Callable[[Array], Any]] = {
    "FLOOR": np.floor,
    "CEIL": np.ceil,
    "ROUND": np.rint,
    "SIGN": np.sign,
    "LOGICAL_NOT": np.logical_not,
    "ZEROS_LIKE": np.zeros_like,
    "SIN": np.sin,
    "COS": np.cos,
}
_TYPES: dict[str, str] = {
    "FLOAT32": "float32",
    "FLOAT16": "float32",
    "FLOAT64": "float32",
    "INT8": "int8",
    "UINT8": "uint8",
    "INT16": "int16",
    "UINT16": "uint16",
    "INT32": "int32",
    "UINT32": "uint32",
    "INT64": "int64",
    "BOOL": "bool",
}


@converts("SHAPE")
def shape(node: Node) -> Value:
    """All shapes are known, so the shape of data is a constant."""
    return node.fold(np.array(node.operand(0).shape, np.int32))


@converts("RANK")
def rank(node: Node) -> Value:
    return node.fold(np.array(node.operand(0).rank, np.int32))


@converts(*_BINARY)
def binary(node: Node) -> Value:
    a, b = node.arrays()
    node.will_compute(np.broadcast_shapes(a.shape, b.shape))
    if node.name.startswith("FLOOR") and a.dtype.kind in "iu" and not np.all(b):
        node.broken("division by zero")
    return node.fold(_BINARY[node.name](a, b))


@converts(*_UNARY)
def unary(node: Node) -> Value:
    (array,) = node.arrays()
    return node.fold(np.asarray(_UNARY[node.name](array)).astype(array.dtype))


@converts("SELECT", "SELECT_V2")
def select(node: Node) -> Value:
    condition, a, b = node.arrays()
    node.will_compute(np.broadcast_shapes(condition.shape, a.shape, b.shape))
    return node.fold(np.where(condition, a, b))


@converts("RANGE")
def range_(node: Node) -> Value:
    start, limit, delta = (a.reshape(()) for a in node.arrays())
    if delta == 0:
        node.broken("the step is 0")
    count = max(int(np.ceil((limit - start) / delta)), 0)
    node.will_compute((count,))
    return node.fold((np.arange(count) * delta + start).astype(start.dtype))


@converts("FILL")
def fill(node: Node) -> Value:
    sizes = node.integers(0, "the shape")
    value = node.constant(1, "the value")
    node.will_compute(sizes)
    return node.fold(np.full(sizes, value.reshape(())))


@converts("CAST")
def cast(node: Node) -> Value:
    """Whole numbers become floats without a layer; the other way only constants go."""
    x, name = node.operand(0), node.types[0]
    if name not in _TYPES:
        node.refuse(f"turns data into {name}")
    if x.is_float and node.input_types[0] not in FLOATS:
        node.refuse("takes the stored integers of a quantised tensor")
    dtype = np.dtype(_TYPES[name])
    if x.array is not None:
        return Value.of(x.array.astype(dtype), x.name)
    if x.dtype == dtype or dtype.kind == "f":
        return Value(x.name, x.shape, dtype, x.order)
    if x.is_float or dtype.kind == "b" or not np.can_cast(x.dtype, dtype, "same_kind"):
        node.refuse("turns data into integers or booleans")
    return Value(x.name, x.shape, dtype, x.order)
