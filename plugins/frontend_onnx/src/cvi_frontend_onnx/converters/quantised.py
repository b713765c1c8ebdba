"""Models that were quantised elsewhere (QDQ form, QLinearConv, QLinearMatMul), read as float.

Weights are dequantised. Data stays real: between QuantizeLinear and DequantizeLinear it is
only limited to the range of the integers, since our own calibration chooses the steps. A value
that the model holds in integers remembers their scale and zero point (`Value.grid`), so that
it is only ever dequantised by the same.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from cvi import ops
from cvi.ir import Array, Op
from cvi_frontend_onnx.converters.conv import conv_op
from cvi_frontend_onnx.converters.matrix import product
from cvi_frontend_onnx.node import Node
from cvi_frontend_onnx.registry import converts
from cvi_frontend_onnx.tensors import element_type
from cvi_frontend_onnx.values import Grid, Value, as_fp32


@converts("QuantizeLinear")
def quantise(node: Node) -> Value:
    node.attributes.ignore("saturate", "precision")  # of floats of 8 bits, which are refused
    x = node.operand(0)
    if node.is_constant:
        return _of_constants(node)
    _integer_blocks(node, x)
    grid = _grid(node, 1, 2, _asked_type(node))
    if not x.is_float:
        node.refuse(f"quantises data of type {x.dtype}")
    return _held(x, grid)


@converts("DequantizeLinear")
def dequantise(node: Node) -> Value:
    x = node.operand(0)
    if node.is_constant:
        return _of_constants(node)
    _integer_blocks(node, x)
    grid = _grid(node, 1, 2, x.dtype)
    if x.grid is None:
        return _from_integers(node, x, grid)
    return _real(node, x, grid, node.layer)


def _of_constants(node: Node) -> Value:
    """Exactly, where scale and zero point are of the whole tensor or along one axis."""
    x, scale, *zero = node.arrays()
    dtype = _asked_type(node) if node.op_type == "QuantizeLinear" else x.dtype
    if node.attributes.integer("block_size", 0) or dtype.kind not in "iu" or dtype.itemsize > 4:
        return _by_onnx(node)
    node.attributes.ignore("output_dtype")
    shape = [1] * x.ndim
    if scale.ndim == 1 and x.ndim:
        shape[node.axis(node.attributes.integer("axis", 1), x.ndim)] = -1
    else:
        node.attributes.ignore("axis")
    steps, offset = scale.reshape(shape), zero[0].reshape(shape) if zero else 0
    if node.op_type == "DequantizeLinear":
        return node.fold((as_fp32(x) - as_fp32(np.asarray(offset))) * as_fp32(steps))
    info: np.iinfo[Any] = np.iinfo(dtype)
    return node.fold(np.clip(np.rint(x / steps) + offset, info.min, info.max).astype(dtype))


def _by_onnx(node: Node) -> Value:
    """By onnx's own reference."""
    from cvi_frontend_onnx.constants import evaluate_node

    return node.fold(evaluate_node(node, node.arrays())[0])


def _integer_blocks(node: Node, x: Value) -> None:
    """Data has one scale for the whole tensor."""
    node.attributes.ignore("axis", "output_dtype")
    if node.attributes.integer("block_size", 0):
        node.refuse("quantises data in blocks")
    if x.grid is None and not x.is_float and x.dtype.kind not in "iu":
        node.refuse(f"on data of type {x.dtype}")


def _asked_type(node: Node) -> np.dtype[Any]:
    """The integer type of a QuantizeLinear: that of its zero point, else uint8."""
    zero = node.optional(2)
    if zero is not None:
        return zero.dtype
    code = node.attributes.integer("output_dtype", 0)
    return element_type(code, node.where) if code else np.dtype(np.uint8)


def _grid(node: Node, scale: int, zero: int, dtype: np.dtype[Any]) -> Grid:
    """The scale and zero point given as operands."""
    if dtype.kind not in "iu":
        node.refuse(f"quantises data to {dtype}; only integers are supported")
    step = as_fp32(node.constant(scale, "the scale"))
    offset = node.optional_constant(zero, "the zero point")
    if step.size != 1 or (offset is not None and offset.size != 1):
        node.refuse("quantises data with several scales; one for the whole tensor is supported")
    if not step.item() > 0:
        node.broken(f"the scale is {step.item()}")
    return Grid(float(step.item()), 0 if offset is None else int(offset.item()), dtype)


def _real(node: Node, x: Value, grid: Grid, name: str) -> Value:
    """Data held in integers as real numbers, limited to those that they can stand for."""
    if x.grid != grid:
        node.refuse("dequantises data by another scale than it was quantised by")
    low, high = grid.limits
    op: Op = ops.Clip(name=name, minimum=low, maximum=high)
    if low == 0:
        op = ops.Relu(name=name, maximum=high)
    return node.emit(op, replace(x, dtype=np.dtype(np.float32), grid=None))


def _from_integers(node: Node, x: Value, grid: Grid) -> Value:
    """Whole numbers that came in from outside: (x - zero) * scale."""
    given = replace(x, dtype=np.dtype(np.float32))
    if grid.zero:
        offset = np.full(1, grid.zero, np.float32)
        given = node.emit(ops.Sub(name=node.helper("zero")), given, offset)
    return node.emit(ops.Mul(name=node.layer), given, np.full(1, grid.scale, np.float32))


@converts("QLinearConv")
def quantised_conv(node: Node) -> Value:
    """x, its scale and zero point, likewise w and y, then an int32 bias of scale x*w."""
    if node.is_constant:
        return _by_onnx(node)
    x = _real_operand(node, 0)
    if x.rank != 4:
        node.refuse(f"works on a tensor of {x.rank} dimensions; 2-D is supported")
    weight = Value.of(_dequantised(node, 3, axis=0), node.operand(3).name)
    bias = node.optional_constant(8, "the bias")
    if bias is not None:
        steps = as_fp32(node.constant(1, "the scale")) * as_fp32(node.constant(4, "the scale"))
        bias = as_fp32(bias) * steps.reshape(-1)
    y = node.emit(conv_op(node, x, weight, node.helper("real")), x, weight, bias)
    return _held(y, _grid(node, 6, 7, node.operand(7).dtype))


@converts("QLinearMatMul")
def quantised_matmul(node: Node) -> Value:
    if node.is_constant:
        return _by_onnx(node)
    a, b = _real_operand(node, 0), _real_operand(node, 3)
    y = product(node, a, b, node.helper("real"))
    return _held(y, _grid(node, 6, 7, node.operand(7).dtype))


def _held(x: Value, grid: Grid) -> Value:
    return replace(x, dtype=grid.dtype, grid=grid)


def _real_operand(node: Node, index: int) -> Value:
    """Operand `index` as real numbers; its scale and zero point follow it."""
    x = node.operand(index)
    if x.array is not None:
        return Value.of(_dequantised(node, index, axis=-1), x.name)
    grid = _grid(node, index + 1, index + 2, x.dtype)
    if x.grid is None:
        node.refuse("computes with integers that come from outside of the network")
    return _real(node, x, grid, node.helper(f"operand{index}"))


def _dequantised(node: Node, index: int, axis: int) -> Array:
    """A constant operand in fp32; scales of a vector run along `axis`."""
    values = as_fp32(node.constant(index, "the weight"))
    scale = as_fp32(node.constant(index + 1, "the scale"))
    zero = as_fp32(node.constant(index + 2, "the zero point"))
    shape = [1] * values.ndim
    shape[axis] = -1
    scale, zero = (v.reshape(shape) if v.ndim == 1 else v for v in (scale, zero))
    return np.asarray((values - zero) * scale)
