"""Matrix products."""

from __future__ import annotations

from math import prod

import numpy as np

from cvi.ir import Array, DType, Graph
from cvi.ops import MatMul
from cvi_tpu.chip import ChipSpec
from cvi_tpu.quantized.ops import Bf16MatMul, Int8MatMul
from cvi_tpu.quantized.registry import TPU, mixes, quantizes, requires
from cvi_tpu.quantized.rewriter import Chain, Operand, Rewriter
from cvi_tpu.quantized.rules.bf16_filters import filtered
from cvi_tpu.quantized.rules.dense import dense
from cvi_tpu.quantized.rules.filters import Window
from cvi_tpu.quantized.scales import rate

DEPTH = 512
"""Products of a pass in BF16: as many rows of the right matrix, one unit of columns wide,
take a quarter of a lane."""


@quantizes(MatMul, precision=TPU)
def matrix_product(op: MatMul, to: Rewriter) -> None:
    """The product with a constant matrix is a fully connected layer, whose filter has a
    scale per column; with int8 weights the constant one may stand on the left too. Every
    other one is a product of two computed matrices."""
    matrix = to.constant(op.inputs[1])
    if to.int8_weights:
        _filtered(op, to)
    elif matrix is not None and matrix.ndim == 2:
        dense(op, to, np.ascontiguousarray(matrix.T), None, relu=op.relu, relu_max=None)
    elif to.precision is DType.BF16:
        _product_bf16(op, to)
    else:
        _product(op, to)


@requires(MatMul, precision=TPU)
def one_factor_is_computed(op: MatMul, graph: Graph, spec: ChipSpec) -> bool:
    """both factors are constants

    fold the layer into a constant
    """
    return any(name not in graph.constants for name in op.inputs)


@mixes(MatMul)
def one_factor_is_one_matrix(op: MatMul, graph: Graph, spec: ChipSpec) -> bool:
    """both factors are computed, or the constant one is no single matrix"""
    return any(_is_matrix(graph.constants.get(name)) for name in op.inputs)


def _is_matrix(constant: Array | None) -> bool:
    return constant is not None and constant.ndim > 1 and prod(constant.shape[:-2]) == 1


def _filtered(op: MatMul, to: Rewriter) -> None:
    """The product with one constant matrix as a filter."""
    left, right = (to.constant(name) for name in op.inputs)
    if right is not None:
        matrix = right.reshape(right.shape[-2:])
        dense(op, to, np.ascontiguousarray(matrix.T), None, relu=op.relu, relu_max=None)
    elif left is not None:
        _columns(op, to, left.reshape(left.shape[-2:]))


def _columns(op: MatMul, to: Rewriter, weight: Array) -> None:
    """weight[M, K] times x[..., K, N]: a convolution of the rows as channels."""
    m, k = weight.shape
    x = _as_matrix(op, to, 1)
    chain = Chain(to, op, x)
    chain.reshape("rows", (prod(x.shape[:-2]), k, 1, x.shape[-1]))
    filtered(chain, x, Window(), weight.reshape(m, k, 1, 1), None, relu=op.relu)
    chain.reshape("shape", op.type.shape)
    chain.close()


def _product(op: MatMul, to: Rewriter) -> None:
    left, right = (_as_matrix(op, to, index) for index in range(2))
    y_scale, unit = to.scale(op.name), left.scale * right.scale
    # QDM makes integers smaller only: where the result's steps are finer than those of the
    # sum, the product is computed in steps of the sum.
    scale = max(y_scale, unit * (1 + 2.0**-30))
    multiplier, shift = rate(unit / scale)
    chain = Chain(to, op, left)
    chain.then(
        "product",
        Int8MatMul(
            name="",
            inputs=("", right.name),
            out_scale=scale,
            multiplier=multiplier,
            shift=shift,
            relu=op.relu,
        ),
    )
    chain.rescale(scale, y_scale)
    chain.reshape("shape", op.type.shape)
    chain.close()


def _product_bf16(op: MatMul, to: Rewriter) -> None:
    left, right = (_as_matrix(op, to, index) for index in range(2))
    chain = Chain(to, op, left)
    product = Bf16MatMul(
        name="",
        inputs=("", right.name),
        lanes=to.spec.lanes,
        step=DEPTH if left.shape[-1] > DEPTH else 0,
        relu=op.relu,
    )
    chain.then("product", product)
    chain.reshape("shape", op.type.shape)
    chain.close()


def _as_matrix(op: MatMul, to: Rewriter, index: int) -> Operand:
    """An operand in two dims or more: a vector is a row on the left, a column on the right."""
    x = to.operand(op.inputs[index])
    if len(x.shape) > 1:
        return x
    shape = (1, *x.shape) if index == 0 else (*x.shape, 1)
    return to.reshaped(x, shape, op.name, f"operand_{index}")
