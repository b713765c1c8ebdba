"""Functions of BF16 tensors by tables (FACTS_TPU 3.8)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from cvi.ir import Op
from cvi_tpu.codegen.context import Context, View, as_bytes
from cvi_tpu.codegen.kernels.eltwise import TiledEltwise, high_bytes, low_bytes, register
from cvi_tpu.codegen.planner import Load, Tile, tile_bytes
from cvi_tpu.isa.instructions import Arith, ArithOp, Const, Instruction, Lut
from cvi_tpu.isa.operands import Dram, Local
from cvi_tpu.quantized import bf16
from cvi_tpu.quantized.ops import Bf16Interpolate, Bf16Split

TABLE_SHAPE = (32, 8)
TABLE_BYTES = 512


class TiledTable(TiledEltwise):
    """Base: two tables, which are loaded into every lane, and room for intermediate results
    behind the result."""

    strict = True
    scratch = 1

    def __init__(self, ctx: Context, op: Op, operands: Sequence[View], target: View) -> None:
        super().__init__(ctx, op, operands, target)
        self.tables = [ctx.weight(as_bytes(ctx.constant(name))) for name in op.inputs[1:]]

    @classmethod
    def activations(cls, op: Op) -> tuple[str, ...]:
        return op.inputs[:1]

    def planes(self, cut_k: bool) -> int:
        del cut_k
        return 1 + self.scratch

    def constants(self, tile: Tile) -> list[Load]:
        del tile
        shape = (1, self.spec.lanes, *TABLE_SHAPE)
        target = self.local(0, shape)
        strides = (TABLE_BYTES, 0, TABLE_BYTES // TABLE_SHAPE[0])
        return [
            Load(f"@table{i}", 0, Dram(t.region, t.address, shape, strides, bf16=True), target, "")
            for i, t in enumerate(self.tables)
        ]

    def rooms(self, result: Local) -> list[Local]:
        """Tensors like the result in the room behind it."""
        size = tile_bytes(result)
        return [
            replace(result, address=result.address + size * (i + 1)) for i in range(self.scratch)
        ]

    def look_up(self, index: Local, table: int, result: Local) -> Lut:
        return Lut(input=index, result=result, table=table, layer=self.layer)

    def calculate(self, op: ArithOp, result: Local, left: Local, right: Local | float) -> Arith:
        """One instruction; a number is a BF16 constant."""
        operand = right if isinstance(right, Local) else Const(bf16.pattern(right))
        return Arith(op=op, result=result, left=left, right=operand, layer=self.layer)


class TiledInterpolate(TiledTable):
    """Straight lines: the index by adding an offset, the rest by subtracting it again."""

    scratch = 3

    def arithmetic(
        self, result: Local, operands: Sequence[Local], at: Mapping[str, int]
    ) -> list[Instruction]:
        op, (x,) = self.op, operands
        assert isinstance(op, Bf16Interpolate)
        rest, index, slope = self.rooms(result)
        last = [self.calculate(ArithOp.MUL, result, result, x)] if op.gated else []
        return [
            self.calculate(ArithOp.MUL, rest, x, op.scale),
            self.calculate(ArithOp.MAX, index, rest, op.least),
            self.calculate(ArithOp.MIN, index, index, op.most),
            self.calculate(ArithOp.ADD, index, index, op.offset),
            self.calculate(ArithOp.ADD, slope, index, -op.offset),
            self.calculate(ArithOp.SUB, rest, rest, slope),
            self.look_up(index, at["@table1"], slope),
            self.look_up(index, at["@table0"], result),
            self.calculate(ArithOp.MAC, result, rest, slope),
            *last,
        ]

    def cycles(self, tile: Tile) -> float:
        return 400 + self.rounds(tile.box) * (2 * 35 + 8 * 5.0)


class TiledSplit(TiledTable):
    """The high bytes as an index of their own."""

    scratch = 1

    def arithmetic(
        self, result: Local, operands: Sequence[Local], at: Mapping[str, int]
    ) -> list[Instruction]:
        op, (x,) = self.op, operands
        assert isinstance(op, Bf16Split)
        (upper,) = self.rooms(result)
        join = ArithOp.ADD if op.added else ArithOp.MUL
        return [
            Arith(op=ArithOp.COPY, result=low_bytes(upper), left=high_bytes(x), layer=self.layer),
            self.look_up(x, at["@table1"], result),
            self.look_up(upper, at["@table0"], upper),
            self.calculate(join, result, upper, result),
        ]

    def cycles(self, tile: Tile) -> float:
        return 160 + self.rounds(tile.box) * (2 * 35 + 2 * 5.0)


KINDS: dict[type[Op], type[TiledTable]] = {
    Bf16Interpolate: TiledInterpolate,
    Bf16Split: TiledSplit,
}

register(KINDS)
