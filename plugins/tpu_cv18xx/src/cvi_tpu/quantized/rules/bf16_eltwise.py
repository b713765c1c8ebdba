"""Arithmetic on two or more tensors in BF16: one instruction after the other."""

from __future__ import annotations

import numpy as np

from cvi.ir import Array, DType
from cvi.ops import Add, Div, Eltwise, Max, Min, Mul, Sub
from cvi_tpu.quantized.bf16 import encode
from cvi_tpu.quantized.bf16_tables import power
from cvi_tpu.quantized.ops import (
    Bf16Add,
    Bf16AddConstant,
    Bf16Constant,
    Bf16Eltwise,
    Bf16Max,
    Bf16MaxConstant,
    Bf16Min,
    Bf16MinConstant,
    Bf16Mul,
    Bf16MulConstant,
    Bf16Split,
    Bf16Sub,
)
from cvi_tpu.quantized.registry import quantizes
from cvi_tpu.quantized.rewriter import Chain, Operand, Rewriter
from cvi_tpu.quantized.rules.bf16_filters import clamp_bf16

_TENSORS: dict[type[Eltwise], type[Bf16Eltwise]] = {
    Add: Bf16Add,
    Sub: Bf16Sub,
    Mul: Bf16Mul,
    Max: Bf16Max,
    Min: Bf16Min,
}

_NUMBERS: dict[type[Eltwise], type[Bf16Constant]] = {
    Add: Bf16AddConstant,
    Mul: Bf16MulConstant,
    Max: Bf16MaxConstant,
    Min: Bf16MinConstant,
}


@quantizes(Add, precision=DType.BF16)
def weighted_sum(op: Add, to: Rewriter) -> None:
    """The operands times their coefficients, added in turn."""
    if set(op.weights) == {1.0}:
        arithmetic(op, to)
        return
    first, *others = (_weighted(op, to, i) for i in range(len(op.inputs)))
    chain = Chain(to, op, first)
    for i, x in enumerate(others, 1):
        chain.then(f"step_{i}", Bf16Add(name="", inputs=("", x.name)))
    _clamped(chain, op)
    chain.close()


def _weighted(op: Add, to: Rewriter, index: int) -> Operand:
    """An operand times its coefficient."""
    x = to.bf16(op.inputs[index])
    factor, rank = op.weights[index], len(op.type.shape)
    if factor != 1:
        name = to.fresh(op.name, f"weighted_{index}")
        x = to.add(Bf16MulConstant(name=name, inputs=(x.name,), value=factor))
    return to.ranked(x, rank, op.name, f"operand_{index}")


@quantizes(Sub, Mul, Max, Min, precision=DType.BF16)
def arithmetic(op: Add | Sub | Mul | Max | Min, to: Rewriter) -> None:
    """The operands in turn; a constant that is a single number is part of the instruction."""
    first, *others = _tensors_first(op, to)
    rank = len(op.type.shape)
    chain = Chain(to, op, to.ranked(to.bf16(first), rank, op.name, "operand_0"))
    for i, name in enumerate(others, 1):
        number = _number(to.constant(name))
        if number is not None and type(op) in _NUMBERS:
            chain.then(f"step_{i}", _NUMBERS[type(op)](name="", inputs=("",), value=number))
            continue
        x = to.ranked(to.bf16(name), rank, op.name, f"operand_{i}")
        chain.then(f"step_{i}", _TENSORS[type(op)](name="", inputs=("", x.name)))
    _clamped(chain, op)
    chain.close()


def _tensors_first(op: Eltwise, to: Rewriter) -> list[str]:
    """The operands, constants last where their order does not matter."""
    if isinstance(op, Sub):
        return list(op.inputs)
    return sorted(op.inputs, key=lambda name: to.constant(name) is not None)


def _number(constant: Array | None) -> float | None:
    """The value of a constant of one element."""
    return float(constant.reshape(-1)[0]) if constant is not None and constant.size == 1 else None


def _clamped(chain: Chain, op: Eltwise) -> None:
    if op.relu:
        chain.then("positive", Bf16MaxConstant(name="", inputs=("",), value=0.0))
    clamp_bf16(chain, op.relu_max)


@quantizes(Div, precision=DType.BF16)
def quotient(op: Div, to: Rewriter) -> None:
    """The product with the reciprocal: of a constant as such, else by its table."""
    name, divisor = op.inputs
    rank = len(op.type.shape)
    chain = Chain(to, op, to.ranked(to.bf16(name), rank, op.name, "operand_0"))
    constant = to.constant(divisor)
    if constant is not None and constant.size == 1:
        number = 1 / float(constant.reshape(-1)[0])
        chain.then("quotient", Bf16MulConstant(name="", inputs=("",), value=number))
    else:
        inverse = to.ranked(_reciprocal(op, to), rank, op.name, "operand_1")
        chain.then("quotient", Bf16Mul(name="", inputs=("", inverse.name)))
    _clamped(chain, op)
    chain.close()


def _reciprocal(op: Div, to: Rewriter) -> Operand:
    """One by the divisor: a constant, or by tables."""
    divisor = op.inputs[1]
    constant = to.constant(divisor)
    if constant is not None:
        patterns = encode((1 / constant.astype(np.float64)).astype(np.float32))
        stored = to.store(op.name, "reciprocal", patterns)
        return Operand(stored, tuple(constant.shape), 1.0, DType.BF16)
    parts = power(-1)
    upper, lower = to.store(op.name, "upper", parts.upper), to.store(op.name, "lower", parts.lower)
    inputs = (to.bf16(divisor).name, upper, lower)
    return to.add(Bf16Split(name=to.fresh(op.name, "reciprocal"), inputs=inputs))
