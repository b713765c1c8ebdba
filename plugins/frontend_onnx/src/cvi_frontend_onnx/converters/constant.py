"""Ops that make constants, and ops that only constants may go through (shape arithmetic)."""

from __future__ import annotations

from typing import Any

import numpy as np

from cvi_frontend_onnx.node import Node
from cvi_frontend_onnx.registry import converts
from cvi_frontend_onnx.tensors import element_type
from cvi_frontend_onnx.values import Value, is_float

_BY_ONNX = (
    "ArgMin",
    "BitwiseAnd",
    "BitwiseNot",
    "BitwiseOr",
    "BitwiseXor",
    "EyeLike",
    "IsInf",
    "IsNaN",
    "NonZero",
    "ScatterElements",
    "ScatterND",
    "TopK",
)
"""Rare in shape arithmetic: computed by onnx's own reference. Their results are never
much larger than their operands."""


@converts("Constant")
def constant(node: Node) -> Value:
    attributes = node.attributes
    if "value" in attributes:
        return node.fold(attributes.tensor("value"))
    if "value_float" in attributes:
        return node.fold(np.array(attributes.number("value_float"), np.float32))
    if "value_floats" in attributes:
        return node.fold(np.array(attributes.floats("value_floats"), np.float32))
    if "value_int" in attributes:
        return node.fold(np.array(attributes.integer("value_int"), np.int64))
    if "value_ints" in attributes:
        return node.fold(np.array(attributes.ints("value_ints"), np.int64))
    node.refuse("the constant is sparse or a string")


@converts("ConstantOfShape")
def constant_of_shape(node: Node) -> Value:
    shape = node.integers(0, "the shape")
    node.will_compute(shape)
    value = np.zeros(1, np.float32)
    if "value" in node.attributes:
        value = node.attributes.tensor("value")
    if value.size != 1:
        node.broken(f"the value has {value.size} elements instead of one")
    return node.fold(np.full(shape, value.reshape(())))


@converts("Shape")
def shape(node: Node) -> Value:
    """All shapes are known, so the shape of data is a constant."""
    sizes = node.operand(0).shape
    start = node.attributes.integer("start", 0)
    end = node.attributes.integer("end", len(sizes))
    return node.fold(np.array(sizes[slice(start, end)], np.int64))


@converts("Size")
def size(node: Node) -> Value:
    return node.fold(np.array(node.operand(0).elements, np.int64))


@converts("Range")
def range_(node: Node) -> Value:
    node.attributes.ignore("stash_type")  # the precision of the sum for 16-bit floats
    start, limit, delta = (a.reshape(()) for a in node.arrays())
    if delta == 0:
        node.broken("the step is 0")
    count = max(int(np.ceil((limit - start) / delta)), 0)
    node.will_compute((count,))
    return node.fold((np.arange(count) * delta + start).astype(start.dtype))


@converts("Cast", "CastLike")
def cast(node: Node) -> Value:
    node.attributes.ignore("saturate", "round_mode")  # about float8, which is refused below
    x = node.operand(0)
    dtype = _target(node)
    if any("float" in t.name and not is_float(t) for t in (dtype, x.dtype)):
        node.refuse("turns data into or from floats of 8 bits or less")
    if x.array is not None:
        return node.fold(x.array.astype(dtype))
    if x.grid is not None:
        node.refuse("casts data of the model's own quantisation")
    if x.dtype == dtype or is_float(dtype):
        return Value(x.name, x.shape, dtype)
    if x.is_float or dtype.kind == "b" or not np.can_cast(x.dtype, dtype):
        node.refuse("turns data into integers or booleans")
    return Value(x.name, x.shape, dtype)


def _target(node: Node) -> np.dtype[Any]:
    if node.op_type == "CastLike":
        return node.operand(1).dtype
    return element_type(node.attributes.integer("to"), node.where)


@converts("If")
def if_(node: Node) -> list[Value]:
    """The branch that is taken; the condition is shape arithmetic."""
    condition = node.constant(0, "the condition")
    if condition.size != 1:
        node.broken(f"the condition has {condition.size} elements")
    node.attributes.ignore("then_branch", "else_branch")
    return node.inline(node.attributes.graph("then_branch" if condition.item() else "else_branch"))


@converts("OneHot")
def one_hot(node: Node) -> Value:
    indices, depth, values = node.arrays()
    count = int(depth.reshape(-1)[0])
    axis = node.axis(node.attributes.integer("axis", -1), indices.ndim + 1)
    node.will_compute((*indices.shape, max(count, 0)))
    inside = (indices >= -count) & (indices < count)
    hot = (np.arange(count) == (indices % max(count, 1))[..., None]) & inside[..., None]
    return node.fold(np.moveaxis(np.where(hot, values[1], values[0]), -1, axis))


@converts("Mod")
def modulo(node: Node) -> Value:
    a, b = node.arrays()
    c_style = node.attributes.flag("fmod")
    node.will_compute(np.broadcast_shapes(a.shape, b.shape))
    if a.dtype.kind in "iu" and not np.all(b):
        node.broken("division by zero")
    return node.fold(np.fmod(a, b) if c_style else np.mod(a, b))


@converts(*_BY_ONNX)
def by_onnx(node: Node) -> list[Value]:
    """Evaluate a node of constants by onnx's reference implementation."""
    from cvi_frontend_onnx.constants import evaluate_node

    arrays = node.arrays()
    results = evaluate_node(node, arrays)
    return [Value.of(r, name) for r, name in zip(results, node.outputs, strict=True)]
