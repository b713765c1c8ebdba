"""Arithmetic on two or more tensors."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np

from cvi.ir import DType, Graph
from cvi.ops import Add, Div, Eltwise, Max, Min, Mul, Reciprocal, Sub
from cvi_tpu.chip import ChipSpec
from cvi_tpu.quantized.ops import Int8Add, Int8Clip, Int8Lut, Int8Max, Int8Min, Int8Mul
from cvi_tpu.quantized.registry import TPU, quantizes, requires
from cvi_tpu.quantized.rewriter import Chain, Operand, Rewriter
from cvi_tpu.quantized.rules.activation import table_of
from cvi_tpu.quantized.scales import MOST_TERMS, STEPS, add_limit, add_rates, rate


def _operands(op: Eltwise, to: Rewriter) -> list[Operand]:
    """The operands as int8, all of the result's rank."""
    rank = len(op.type.shape)
    return [
        to.ranked(to.int8(name), rank, op.name, f"operand_{i}") for i, name in enumerate(op.inputs)
    ]


@quantizes(Add, Sub)
def weighted_sum(op: Add | Sub, to: Rewriter) -> None:
    """An Int8Add with multipliers in the ratio of the scales, coefficients included. Zero
    points go into what it adds; saturation at the result's is the relu.

    Where an operand's step is too large for an 8-bit multiplier the sum is computed in
    larger steps and brought to the result's scale afterwards.
    """
    operands = _operands(op, to)
    y_scale, y_zero = to.scale(op.name), to.zero(op.name)
    factors = (1.0, -1.0) if isinstance(op, Sub) else op.weights
    ratios = [factor * x.scale / y_scale for factor, x in zip(factors, operands, strict=True)]
    limit = add_limit(ratios)
    rates = add_rates([r / limit for r in ratios], [x.zero for x in operands], y_zero)
    chain = Chain(to, op, operands[0])
    chain.then(
        "sum",
        Int8Add(
            name="",
            inputs=("", *(x.name for x in operands[1:])),
            out_scale=y_scale * limit,
            out_zero=y_zero,
            multipliers=rates.multipliers,
            shift=rates.shift,
            bias=rates.bias,
            relu=op.relu and not y_zero,
        ),
    )
    chain.rescale(y_scale * limit, y_scale)
    chain.clamp(op.relu_max, y_scale)
    chain.close()


@requires(Add)
def few_enough_terms(op: Add, graph: Graph, spec: ChipSpec) -> bool:
    """a sum of more than 64 tensors leaves too few bits for each in the accumulator

    sum them in several layers
    """
    return len(op.inputs) <= MOST_TERMS


@quantizes(Mul)
def product(op: Mul, to: Rewriter) -> None:
    """A chain of Int8Mul; products before the last are scaled so that they cannot saturate."""
    for name, other in (op.inputs[:2], op.inputs[1::-1]):
        if len(op.inputs) == 2 and len(to.parts(other)) > 1:
            _multiply_parts(op, to, name, other)
            return
    first, *others = _operands(op, to)
    _multiply(Chain(to, op, first), first.scale, others, op)


def _multiply_parts(op: Mul, to: Rewriter, name: str, parted: str) -> None:
    """The products with all parts of an operand, of which one is not 0, added up."""
    rank = len(op.type.shape)
    x = to.ranked(to.int8(name), rank, op.name, "operand")
    parts = [to.ranked(p, rank, op.name, f"operand_{i}") for i, p in enumerate(to.parts(parted))]
    y_scale = to.scale(op.name)
    scale = max(y_scale, *(x.scale * part.scale * (1 + 2.0**-30) for part in parts))
    products = []
    for i, part in enumerate(parts):
        multiplier, shift = rate(x.scale * part.scale / scale)
        product = Int8Mul(
            name=to.fresh(op.name, f"product_{i}"), inputs=(x.name, part.name), out_scale=scale,
            multiplier=multiplier, shift=shift, relu=op.relu,
        )  # fmt: skip
        products.append(to.add(product))
    chain = Chain(to, op, products[0])
    names = ("", *(p.name for p in products[1:]))
    ones = (1,) * len(products)
    chain.then("sum", Int8Add(name="", inputs=names, out_scale=scale, multipliers=ones, shift=0))
    chain.rescale(scale, y_scale)
    chain.clamp(op.relu_max, y_scale)
    chain.close()


def _multiply(chain: Chain, scale: float, others: Sequence[Operand], op: Eltwise) -> None:
    """Append the products with the other operands to a chain at a tensor of that scale."""
    y_scale = chain.to.scale(op.name)
    for i, x in enumerate(others):
        last = i == len(others) - 1
        unit = scale * x.scale
        # A product has 127 * 127 steps of its unit: 127 units a step hold all of them.
        scale = max(y_scale, unit * (1 + 2.0**-30)) if last else unit * STEPS
        multiplier, shift = rate(unit / scale)
        chain.then(
            f"product_{i}",
            Int8Mul(
                name="",
                inputs=("", x.name),
                out_scale=scale,
                multiplier=multiplier,
                shift=shift,
                relu=op.relu and last,
            ),
        )
    chain.rescale(scale, y_scale)
    chain.clamp(op.relu_max, y_scale)
    chain.close()


@quantizes(Div)
def quotient(op: Div, to: Rewriter) -> None:
    """The product with a table of reciprocals (with a constant, of its reciprocal).

    The table's threshold is the reciprocal of the divisor's least value where
    calibration saw only positive ones, else of one step.
    """
    name, divisor = op.inputs
    rank = len(op.type.shape)
    constant = to.constant(divisor)
    if constant is not None:
        inverse = 1 / constant.astype(np.float64)
        array = np.abs(inverse).max()
        steps = np.rint(inverse / array * STEPS).astype(np.int8)
        stored = to.store(op.name, "reciprocal", steps)
        other = Operand(stored, tuple(constant.shape), float(array) / STEPS)
    else:
        other = _reciprocal(op, to, to.int8(divisor), to.least(divisor))
    x = to.ranked(to.int8(name), rank, op.name, "operand_0")
    _multiply(Chain(to, op, x), x.scale, [to.ranked(other, rank, op.name, "operand_1")], op)


def _reciprocal(op: Div, to: Rewriter, x: Operand, least: float) -> Operand:
    scale = 1 / max(least, x.scale) / STEPS
    helper = to.fresh(op.name, "reciprocal")
    table = table_of(Reciprocal(name=helper), x.scale, scale)
    stored = to.store(op.name, "reciprocal_table", table)
    return to.add(Int8Lut(name=helper, inputs=(x.name, stored), out_scale=scale))


@requires(Div, precision=TPU)
def divisor_is_not_zero(op: Div, graph: Graph, spec: ChipSpec) -> bool:
    """a constant divisor is zero

    correct the model
    """
    constant = graph.constants.get(op.inputs[1])
    return constant is None or bool(np.all(constant != 0))


@quantizes(Max)
def maximum(op: Max, to: Rewriter) -> None:
    """A chain of Int8Max on operands of the result's scale."""
    _extreme(op, to, functools.partial(Int8Max, name="", out_scale=to.scale(op.name)))


@quantizes(Min)
def minimum(op: Min, to: Rewriter) -> None:
    """A chain of Int8Min on operands of the result's scale."""
    _extreme(op, to, functools.partial(Int8Min, name="", out_scale=to.scale(op.name)))


def _extreme(
    op: Eltwise, to: Rewriter, kind: functools.partial[Int8Max] | functools.partial[Int8Min]
) -> None:
    scale, rank = to.scale(op.name), len(op.type.shape)
    first, *others = (
        to.ranked(to.int8_at(name, scale, op.name, f"requant_{i}"), rank, op.name, f"operand_{i}")
        for i, name in enumerate(op.inputs)
    )
    chain = Chain(to, op, first)
    for i, x in enumerate(others):
        chain.then(f"step_{i}", kind(inputs=("", x.name)))
    if op.relu:
        chain.then(
            "signed", Int8Clip(name="", inputs=("",), out_scale=scale, minimum=0, maximum=STEPS)
        )
    chain.clamp(op.relu_max, scale)
    chain.close()


@requires(Eltwise, precision=TPU)
def computes_on_floats(op: Eltwise, graph: Graph, spec: ChipSpec) -> bool:
    """the operands are integers, which are no activations

    fold the computation of shapes and indices into constants
    """
    return all(graph.type_of(name).dtype is DType.FP32 for name in op.inputs)
