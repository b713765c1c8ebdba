"""Reductions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from cvi import ops
from cvi.ir import Array
from cvi_frontend_onnx.constants import evaluate_node
from cvi_frontend_onnx.node import Node
from cvi_frontend_onnx.registry import converts
from cvi_frontend_onnx.values import Value

_METHODS = {
    "ReduceMean": "mean",
    "ReduceMax": "max",
    "ReduceMin": "min",
    "ReduceSum": "sum",
    "ReduceL2": "l2",
}

_ON_INTEGERS: dict[str, Callable[..., Array]] = {
    "ReduceMax": np.max,
    "ReduceMin": np.min,
    "ReduceSum": np.sum,
    "ReduceProd": np.prod,
}


@converts(*_METHODS)
def reduce_(node: Node) -> Value:
    x, axes = node.operand(0), _axes(node)
    keepdims = node.attributes.flag("keepdims", True)
    if axes is None:
        return x
    if not x.elements:
        node.refuse("reduces an empty tensor")
    if x.array is not None and not x.is_float:
        return _fold(node, x.array, axes, keepdims)
    method = _METHODS[node.op_type]
    return node.emit(ops.Reduce(name=node.layer, method=method, axes=axes, keepdims=keepdims), x)


@converts("ReduceL1", "ReduceSumSquare", "ReduceLogSum", "ReduceLogSumExp")
def composed(node: Node) -> Value:
    """Sums of magnitudes, of squares; and logarithms of sums."""
    x, axes = node.operand(0), _axes(node)
    keepdims, kind = node.attributes.flag("keepdims", True), node.op_type
    if not x.elements:
        node.refuse("reduces an empty tensor")
    if x.array is not None and not x.is_float:
        return node.fold(evaluate_node(node, node.arrays())[0])
    total = node.helper("sum") if kind.startswith("ReduceLog") else node.layer
    op = ops.Reduce(name=total, method="sum", axes=axes or (), keepdims=keepdims)
    if kind == "ReduceL1":
        return node.emit(op, node.emit(ops.Abs(name=node.helper("abs")), x))
    if kind == "ReduceSumSquare":
        return node.emit(op, node.emit(ops.Mul(name=node.helper("square")), x, x))
    if kind == "ReduceLogSum":
        return node.emit(ops.Log(name=node.layer), node.emit(op, x))
    return _log_sum_exp(node, x, op)


def _log_sum_exp(node: Node, x: Value, total: ops.Reduce) -> Value:
    """log(sum(exp(x - m))) + m with the maximum m, so that nothing overflows."""
    most = total.with_(name=node.helper("max"), method="max", keepdims=True)
    peak = node.emit(most, x)
    power = node.emit(
        ops.Exp(name=node.helper("exp")),
        node.emit(ops.Sub(name=node.helper("below")), x, peak),
    )
    log = node.emit(ops.Log(name=node.helper("log")), node.emit(total, power))
    if peak.shape != log.shape:
        peak = node.emit(ops.Reshape(name=node.helper("squeeze"), shape=log.shape), peak)
    return node.emit(ops.Add(name=node.layer), log, peak)


@converts("ArgMax")
def argmax(node: Node) -> Value:
    """Positions of int64 in the model, held in fp32 here."""
    x = node.operand(0)
    if x.array is not None:
        return node.fold(evaluate_node(node, [x.array])[0])
    if node.attributes.flag("select_last_index"):
        node.refuse("gives the last of several largest elements, not the first")
    axis = node.axis(node.attributes.integer("axis", 0), x.rank)
    keepdims = node.attributes.flag("keepdims", True)
    index = node.emit(ops.ArgMax(name=node.layer, axis=axis, keepdims=keepdims), x)
    return replace(index, dtype=np.dtype(np.int64))


@converts("ReduceProd")
def reduce_product(node: Node) -> Value:
    """For shape arithmetic only."""
    array = node.constant(0, "the product")
    axes, keepdims = _axes(node), node.attributes.flag("keepdims", True)
    return node.operand(0) if axes is None else _fold(node, array, axes, keepdims)


def _fold(node: Node, array: Array, axes: tuple[int, ...], keepdims: bool) -> Value:
    function = _ON_INTEGERS.get(node.op_type)
    if function is None:
        node.refuse(f"of constants of type {array.dtype}")
    return node.fold(np.asarray(function(array, axis=axes, keepdims=keepdims)).astype(array.dtype))


def _axes(node: Node) -> tuple[int, ...] | None:
    """Axes: an attribute, later an operand; all when none are given. None: no reduction."""
    rank = node.operand(0).rank
    since = 13 if node.op_type == "ReduceSum" else 18
    if node.opset < since:
        given = node.attributes.ints("axes", ())
    else:
        given = () if node.optional(1) is None else node.integers(1, "the axes")
    keeps_all = node.attributes.flag("noop_with_empty_axes")
    if not given and keeps_all:
        return None
    return node.axes(given, rank) if given else tuple(range(rank))
