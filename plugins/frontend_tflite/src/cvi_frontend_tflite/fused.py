"""Fused activation functions: what an op does to its result before it gives it away."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from cvi.ir import Array, Op
from cvi.ops import Clip, Relu, Tanh
from cvi_frontend_tflite.node import Node
from cvi_frontend_tflite.values import Order, Value

_NONE, _RELU, _RELU_N1_TO_1, _RELU6, _TANH, _SIGN = range(6)


def emit_activated(
    node: Node, op: Op, *operands: Value | Array | None, order: Order | None = None
) -> Value:
    """`Node.emit` of an op and of its fused activation, inside the op where it can hold it."""
    kind = node.option("FusedActivationFunction", _NONE)
    if kind == _NONE:
        return node.emit(op, *operands, order=order)
    if kind in (_RELU, _RELU6) and _takes(op, kind):
        limit: dict[str, Any] = {"relu_max": 6.0} if kind == _RELU6 else {}
        return node.emit(op.with_(relu=True, **limit), *operands, order=order)
    linear = node.emit(op.with_(name=f"{op.name}_linear"), *operands, order=order)
    return activated(node, op.name, linear)


def activated(node: Node, name: str, linear: Value) -> Value:
    """The op's fused activation as a layer of its own."""
    kind = node.option("FusedActivationFunction", _NONE)
    return node.emit(_activation(node, name, kind), linear, order=linear.order)


def _takes(op: Op, kind: int) -> bool:
    names = {field.name for field in fields(op)}
    return "relu" in names and (kind == _RELU or "relu_max" in names)


def _activation(node: Node, name: str, kind: int) -> Op:
    if kind in (_RELU, _RELU6):
        return Relu(name=name, maximum=6.0 if kind == _RELU6 else None)
    if kind == _RELU_N1_TO_1:
        return Clip(name=name, minimum=-1.0, maximum=1.0)
    if kind == _TANH:
        return Tanh(name=name)
    node.refuse(f"the fused activation {'SIGN_BIT' if kind == _SIGN else kind} is not supported")
