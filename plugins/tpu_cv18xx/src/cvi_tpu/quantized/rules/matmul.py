"""Matrix products."""

from __future__ import annotations

import numpy as np

from cvi.ir import DType, Graph
from cvi.ops import MatMul
from cvi_tpu.chip import ChipSpec
from cvi_tpu.quantized.ops import Bf16MatMul, Int8MatMul
from cvi_tpu.quantized.registry import TPU, quantizes, requires
from cvi_tpu.quantized.rewriter import Chain, Operand, Rewriter
from cvi_tpu.quantized.rules.dense import dense
from cvi_tpu.quantized.scales import rate

DEPTH = 512
"""Products of a pass in BF16: as many rows of the right matrix, one unit of columns wide,
take a quarter of a lane."""


@quantizes(MatMul, precision=TPU)
def matrix_product(op: MatMul, to: Rewriter) -> None:
    """The product with a constant matrix is a fully connected layer, whose filter has a
    scale per column; every other one is a product of two computed matrices."""
    matrix = to.constant(op.inputs[1])
    if matrix is not None and matrix.ndim == 2:
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
