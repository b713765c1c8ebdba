"""Casts between INT8, BF16 and fp32 on the TPU (FACTS_TPU 4.3, 7.5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod

from cvi.ir import Op
from cvi_tpu.codegen.context import BF16_BYTES, Context, View, lowers
from cvi_tpu.codegen.kernels.eltwise import TiledEltwise, flat, in_four_dims, register, spread
from cvi_tpu.codegen.planner import Part, Tile, TiledOp, run
from cvi_tpu.codegen.tiling import Box, Range
from cvi_tpu.isa.instructions import Arith, ArithOp, Const, Copy, Fill, Instruction
from cvi_tpu.isa.operands import Local
from cvi_tpu.quantized import bf16
from cvi_tpu.quantized.ops import Bf16FromFp32, Bf16FromInt8, Fp32FromBf16, Int8FromBf16

HALVES = 2
"""An fp32 number is two elements of BF16 size; the second one is its upper half."""


class _Cast(TiledEltwise):
    def _with(self, op: ArithOp, result: Local, left: Local, value: float) -> Arith:
        """An operation with a constant."""
        right = Const(bf16.pattern(value))
        return Arith(op=op, result=result, left=left, right=right, layer=self.layer)


class TiledFromInt8(_Cast):
    """The load converts the integers, their zero is taken out, a multiplication scales them.
    What lies in local memory already is converted there."""

    converts = True

    def arithmetic(
        self, result: Local, operands: Sequence[Local], at: Mapping[str, int]
    ) -> list[Instruction]:
        op, (source,) = self.op, operands
        assert isinstance(op, Bf16FromInt8)
        work: list[Instruction] = []
        if not source.bf16:
            work.append(Copy(source=source, target=result, layer=self.layer))
            source = result
        if op.zero:
            work.append(self._with(ArithOp.ADD, result, source, -op.zero))
            source = result
        work.append(self._with(ArithOp.MUL, result, source, op.scale))
        return work


class TiledToInt8(_Cast):
    """A multiplication, an addition of the zero, and a copy in local memory that rounds."""

    def planes(self, cut_k: bool) -> int:
        """The result and the product, which takes at most twice its room."""
        del cut_k
        return 3

    def arithmetic(
        self, result: Local, operands: Sequence[Local], at: Mapping[str, int]
    ) -> list[Instruction]:
        op, (source,) = self.op, operands
        assert isinstance(op, Int8FromBf16)
        address = result.address + result.shape[0] * result.strides[0]
        product = self.local(address, result.shape, BF16_BYTES)
        work: list[Instruction] = [self._with(ArithOp.MUL, product, source, op.scale)]
        if op.out_zero:
            work.append(self._with(ArithOp.ADD, product, product, op.out_zero))
        return [*work, Copy(source=product, target=result, layer=self.layer)]


register({Bf16FromInt8: TiledFromInt8, Int8FromBf16: TiledToInt8})


def halves(view: View) -> View:
    """An fp32 tensor of four dims as BF16 elements: rows of twice the width."""
    n, c, h, w = view.shape
    strides = (*view.strides[:3], BF16_BYTES)
    return View(view.region, view.address, (n, c, h, w * HALVES), strides, BF16_BYTES)


def upper(tensor: Local) -> Local:
    """The upper halves of the fp32 numbers whose halves are given."""
    n, c, h, w = tensor.shape
    size = tensor.strides[3]
    return replace(
        tensor,
        address=tensor.address + size,
        shape=(n, c, h, w // HALVES),
        strides=(*tensor.strides[:3], size * HALVES),
    )


class TiledToFp32(TiledOp):
    """Zeros everywhere, then the numbers as upper halves."""

    strict = False

    def units(self) -> Mapping[str, int]:
        return {**super().units(), "w": HALVES}

    def parts(self, tile: Tile) -> list[Part]:
        box = tile.box
        w = Range(box.w.start // HALVES, box.w.size // HALVES)
        return [Part(Box(box.n, box.c, box.h, w), "nchw")]

    def emit(
        self, tile: Tile, result: Local, operands: Sequence[Local], at: Mapping[str, int]
    ) -> list[Instruction]:
        return [
            Fill(target=result, value=0, layer=self.layer),
            Arith(op=ArithOp.COPY, result=upper(result), left=operands[0], layer=self.layer),
        ]

    def cycles(self, tile: Tile) -> float:
        return 160 + self.rounds(tile.box) * 4.0


class TiledFromFp32(TiledOp):
    """A copy of the upper halves."""

    strict = False

    def parts(self, tile: Tile) -> list[Part]:
        box = tile.box
        w = Range(box.w.start * HALVES, box.w.size * HALVES)
        return [Part(Box(box.n, box.c, box.h, w), "nchw")]

    def emit(
        self, tile: Tile, result: Local, operands: Sequence[Local], at: Mapping[str, int]
    ) -> list[Instruction]:
        source = upper(operands[0])
        return [Arith(op=ArithOp.COPY, result=result, left=source, layer=self.layer)]

    def cycles(self, tile: Tile) -> float:
        return 40 + self.rounds(tile.box) * 4.0


@lowers(Fp32FromBf16)
def lower_to_fp32(op: Op, ctx: Context) -> None:
    """BF16 numbers to fp32 ones."""
    for source, target in _images(op, ctx):
        run(TiledToFp32(ctx, op, [source], halves(target)))


@lowers(Bf16FromFp32)
def lower_from_fp32(op: Op, ctx: Context) -> None:
    """fp32 numbers to BF16 ones."""
    for source, target in _images(op, ctx):
        run(TiledFromFp32(ctx, op, [halves(source)], target))


def _images(op: Op, ctx: Context) -> list[tuple[View, View]]:
    """Operand and result in four dims, dense ones spread evenly over all lanes."""
    source, target = ctx.view(op.inputs[0]), ctx.view(op.name)
    if source.is_dense and target.is_dense:
        pieces = spread(prod(target.shape), ctx.spec.lanes)
        return [(flat(source, *piece), flat(target, *piece)) for piece in pieces]
    return [(a, b) for a, b in in_four_dims([source, target])]
