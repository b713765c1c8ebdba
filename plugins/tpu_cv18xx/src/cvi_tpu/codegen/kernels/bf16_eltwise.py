"""BF16 arithmetic, element by element: one instruction each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cvi.ir import Op
from cvi_tpu.codegen.kernels.eltwise import TiledEltwise, register
from cvi_tpu.isa.instructions import Arith, ArithOp, Const, Instruction
from cvi_tpu.isa.operands import Local
from cvi_tpu.quantized import bf16
from cvi_tpu.quantized.ops import (
    Bf16Add,
    Bf16AddConstant,
    Bf16Constant,
    Bf16Max,
    Bf16MaxConstant,
    Bf16Min,
    Bf16MinConstant,
    Bf16Mul,
    Bf16MulConstant,
    Bf16Sub,
)

_BINARY: dict[type[Op], ArithOp] = {
    Bf16Add: ArithOp.ADD,
    Bf16Sub: ArithOp.SUB,
    Bf16Mul: ArithOp.MUL,
    Bf16Max: ArithOp.MAX,
    Bf16Min: ArithOp.MIN,
}

_CONSTANT: dict[type[Op], ArithOp] = {
    Bf16AddConstant: ArithOp.ADD,
    Bf16MulConstant: ArithOp.MUL,
    Bf16MaxConstant: ArithOp.MAX,
    Bf16MinConstant: ArithOp.MIN,
}


class TiledBf16(TiledEltwise):
    """Sum, difference, product, maximum or minimum of two tensors."""

    def arithmetic(
        self, result: Local, operands: Sequence[Local], at: Mapping[str, int]
    ) -> list[Instruction]:
        op, layer = self.op, self.layer
        left, right = operands
        relu = isinstance(op, (Bf16Add, Bf16Mul)) and op.relu
        kind = _BINARY[type(op)]
        return [Arith(op=kind, result=result, left=left, right=right, relu=relu, layer=layer)]


class TiledBf16Constant(TiledEltwise):
    """Sum, product, maximum or minimum of a tensor and a constant."""

    def arithmetic(
        self, result: Local, operands: Sequence[Local], at: Mapping[str, int]
    ) -> list[Instruction]:
        op, layer = self.op, self.layer
        assert isinstance(op, Bf16Constant)
        number = Const(bf16.pattern(op.value))
        kind = _CONSTANT[type(op)]
        return [Arith(op=kind, result=result, left=operands[0], right=number, layer=layer)]


register(dict.fromkeys(_BINARY, TiledBf16))
register(dict.fromkeys(_CONSTANT, TiledBf16Constant))
