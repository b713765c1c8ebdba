"""Arithmetic: on data as ops of the IR, on constants at once (integers stay integers)."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

import numpy as np

from cvi import ops
from cvi.ir import Array, Op
from cvi_frontend_onnx.node import Node
from cvi_frontend_onnx.registry import converts
from cvi_frontend_onnx.values import Value, as_fp32


def _divide(a: Array, b: Array) -> Array:
    """Integers are divided as in C, towards zero."""
    if a.dtype.kind not in "iu":
        return np.asarray(a / b)
    if not np.all(b):
        raise ValueError("division of integers by zero")
    quotient = np.abs(a) // np.abs(b)
    return np.asarray((quotient * np.sign(a) * np.sign(b)).astype(a.dtype))


def _power(a: Array, b: Array) -> Array:
    if a.dtype.kind in "iu":
        return np.asarray(np.power(a.astype(np.float64), b).astype(a.dtype))
    return np.asarray(np.power(a, b).astype(a.dtype))


_BINARY: dict[str, tuple[Callable[..., Op], Callable[[Array, Array], Array]]] = {
    "Add": (ops.Add, np.add),
    "Sub": (ops.Sub, np.subtract),
    "Mul": (ops.Mul, np.multiply),
    "Div": (ops.Div, _divide),
    "Sum": (ops.Add, np.add),
    "Max": (ops.Max, np.maximum),
    "Min": (ops.Min, np.minimum),
}

_UNARY: dict[str, tuple[Callable[..., Op], Callable[[Array], Array]]] = {
    "Abs": (ops.Abs, np.abs),
    "Neg": (ops.Neg, np.negative),
    "Exp": (ops.Exp, np.exp),
    "Log": (ops.Log, np.log),
    "Sqrt": (ops.Sqrt, np.sqrt),
    "Reciprocal": (ops.Reciprocal, np.reciprocal),
}


@converts(*_BINARY)
def binary(node: Node) -> Value:
    op, function = _BINARY[node.op_type]
    operands = node.operands()
    if node.op_type in ("Add", "Sub", "Mul", "Div") and len(operands) != 2:
        node.broken(f"has {len(operands)} operands instead of 2")
    if node.is_constant:
        arrays = node.arrays()
        node.will_compute(np.broadcast_shapes(*(a.shape for a in arrays)))
        return node.fold(reduce(function, arrays))
    if len(operands) == 1:
        return operands[0]
    return node.emit(op(name=node.layer), *operands)


@converts("Mean")
def mean(node: Node) -> Value:
    operands = node.operands()
    if len(operands) == 1:
        return operands[0]
    total = node.emit(ops.Add(name=node.helper("sum")), *operands)
    share = np.full(1, 1 / len(operands), np.float32)
    return node.emit(ops.Mul(name=node.layer), total, share)


@converts(*_UNARY)
def unary(node: Node) -> Value:
    op, function = _UNARY[node.op_type]
    if node.is_constant:
        (array,) = node.arrays()
        return node.fold(np.asarray(function(array)).astype(array.dtype))
    return node.emit(op(name=node.layer), node.operand(0))


@converts("Pow")
def power(node: Node) -> Value:
    x, exponent = node.operand(0), node.operand(1)
    if node.is_constant:
        a, b = node.arrays()
        node.will_compute(np.broadcast_shapes(a.shape, b.shape))
        return node.fold(_power(a, b))
    if exponent.array is None:
        node.refuse("takes the exponent from the data; only constants are supported")
    values = as_fp32(exponent.array)
    if values.size == 0 or np.any(values != values.flat[0]):
        node.refuse("has several exponents; only one for the whole tensor is supported")
    if np.broadcast_shapes(x.shape, values.shape) != x.shape:
        node.refuse("the exponent broadcasts the data to another shape")
    return node.emit(ops.Pow(name=node.layer, exponent=float(values.flat[0])), x)
