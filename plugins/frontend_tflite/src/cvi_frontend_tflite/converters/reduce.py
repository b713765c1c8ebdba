"""Reductions."""

from __future__ import annotations

import numpy as np

from cvi import ops
from cvi_frontend_tflite.node import Node
from cvi_frontend_tflite.registry import converts
from cvi_frontend_tflite.values import Order, Value

_METHODS = {"MEAN": "mean", "SUM": "sum", "REDUCE_MAX": "max", "REDUCE_MIN": "min"}
_ON_INTEGERS = {
    "SUM": np.sum,
    "REDUCE_MAX": np.max,
    "REDUCE_MIN": np.min,
    "REDUCE_PROD": np.prod,
    "REDUCE_ANY": np.any,
    "REDUCE_ALL": np.all,
}


def kept_order(order: Order, axes: tuple[int, ...]) -> Order:
    """The order of what is left when a layer loses the dimensions `axes` of its tensor."""
    kept = [i for i in range(len(order)) if i not in axes]
    return tuple(kept.index(i) for i in order if i not in axes)


@converts(*_METHODS)
def reduction(node: Node) -> Value:
    x, keep = node.operand(0), bool(node.option("KeepDims", False))
    axes = node.axes(node.integers(1, "the axes"), x.rank)
    if node.is_constant and not x.is_float:
        return _of_integers(node)
    if not axes:
        return x
    held = tuple(sorted(x.order.index(axis) for axis in axes))
    op = ops.Reduce(name=node.layer, method=_METHODS[node.name], axes=held, keepdims=keep)
    return node.emit(op, x, order=x.order if keep else kept_order(x.order, axes))


@converts("REDUCE_PROD", "REDUCE_ANY", "REDUCE_ALL")
def of_constants(node: Node) -> Value:
    return _of_integers(node)


def _of_integers(node: Node) -> Value:
    """Reductions of constants (shape arithmetic)."""
    if node.name not in _ON_INTEGERS:
        node.refuse("works on integers")
    x, axes = node.arrays()
    chosen = node.axes([int(a) for a in axes.ravel()], x.ndim)
    keep = bool(node.option("KeepDims", False))
    result = np.asarray(_ON_INTEGERS[node.name](x, axis=chosen, keepdims=keep))  # type: ignore[operator]
    return node.fold(result.astype(x.dtype))


@converts("ARG_MAX", "ARG_MIN")
def arg_max(node: Node) -> Value:
    """The index of the first largest (smallest) element; its dimension vanishes."""
    x = node.operand(0)
    axis = node.axis(node.integer(1, "the axis"), x.rank)
    if x.array is not None:
        find = np.argmax if node.name == "ARG_MAX" else np.argmin
        return node.fold(find(x.array, axis).astype(np.int64))
    if node.name == "ARG_MIN":
        x = node.emit(ops.Neg(name=node.helper("negative")), x, order=x.order)
    op = ops.ArgMax(name=node.layer, axis=x.order.index(axis), keepdims=False)
    found = node.emit(op, x, order=kept_order(x.order, (axis,)))
    return Value(found.name, found.shape, np.dtype(np.int64), found.order)
