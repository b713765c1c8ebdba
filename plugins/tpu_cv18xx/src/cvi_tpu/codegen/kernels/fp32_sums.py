"""Filters whose fp32 sums are stored whole (FACTS_TPU 2.3, 3.5).

The engine leaves sums in two planes, all upper halves and all lower halves; byte by byte, which
changes no pattern, they are put beside each other.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import replace

from cvi.ir import Op
from cvi_tpu.codegen.context import BF16_BYTES, Context, View, as_bytes, lowers
from cvi_tpu.codegen.kernels.casts import HALVES, halves, upper
from cvi_tpu.codegen.kernels.eltwise import high_bytes, low_bytes
from cvi_tpu.codegen.kernels.finish import filter_load, typed
from cvi_tpu.codegen.planner import Load, Part, Tile, TiledOp, run, tile_bytes
from cvi_tpu.codegen.tiling import Box, Range
from cvi_tpu.isa.instructions import (
    Arith,
    ArithOp,
    Conv,
    Fill,
    Instruction,
    Window,
)
from cvi_tpu.isa.operands import Local
from cvi_tpu.quantized import bf16
from cvi_tpu.quantized.ops import Fp32Conv
from cvi_tpu.quantized.ops.fp32_sums import PARTS

_STORED, _CONTINUED = 2, 3
"""Sums that are left as fp32, from 0 on or from such ones on."""


class TiledFilter(TiledOp):
    """A convolution in one pass or several, and one of ones with the parts of the bias. The
    result is [n, c, h, 2], the two halves of every sum."""

    orders = ("nchwk", "cnhwk")

    def __init__(self, ctx: Context, op: Fp32Conv) -> None:
        super().__init__(ctx, op, [ctx.view(op.inputs[0])], halves(ctx.view(op.name)))
        weight = ctx.constant(op.inputs[1])
        oc, ic, *kernel = weight.shape
        self.rows, self.columns = (int(size) for size in kernel)
        self.reduction, self.step = ic, op.step or ic
        packed = weight.transpose(0, 2, 3, 1).reshape(oc, self.rows * self.columns, ic)
        self.weight = typed(ctx.weight(as_bytes(packed)), packed.shape, BF16_BYTES)
        self.bias: View | None = None
        if op.inputs[2]:
            bias = ctx.constant(op.inputs[2]).reshape(oc, 1, PARTS)
            self.bias = typed(ctx.weight(as_bytes(bias)), bias.shape, BF16_BYTES)

    def units(self) -> Mapping[str, int]:
        return {**super().units(), "w": HALVES}

    def depths(self) -> list[int]:
        return [self.step]

    def layer_signature(self) -> Hashable:
        return self.bias is None, self.step, self.rows

    def planes(self, cut_k: bool) -> int:
        """The result, the two planes, and room for ones."""
        del cut_k
        return 5

    def parts(self, tile: Tile) -> list[Part]:
        h = Range(tile.box.h.start, tile.box.h.size + self.rows - 1)
        return [Part(Box(tile.box.n, tile.k, h, Range(0, self.columns)), "nhk")]

    def constants(self, tile: Tile) -> list[Load]:
        channels, lanes = tile.box.c, self.spec.lanes
        loads = [filter_load("@weight", self.weight, channels, tile.k, lanes, BF16_BYTES)]
        if self.bias is not None and tile.last:
            parts = Range(0, PARTS)
            loads.append(filter_load("@bias", self.bias, channels, parts, lanes, BF16_BYTES))
        return loads

    def emit(
        self, tile: Tile, result: Local, operands: Sequence[Local], at: Mapping[str, int]
    ) -> list[Instruction]:
        n, c, h, _ = result.shape
        sums = self.local(result.address + tile_bytes(result), (n, c, h, 1))
        window = Window(kernel=(self.rows, self.columns))
        partial = _STORED if tile.first else _CONTINUED
        work: list[Instruction] = [
            self._products(sums, operands[0], at["@weight"], window, partial)
        ]
        if not tile.last:
            return work
        return [*work, *self._biased(sums, at), *self._joined(sums, result)]

    def _biased(self, sums: Local, at: Mapping[str, int]) -> Iterator[Instruction]:
        if self.bias is None:
            return
        n, _, h, _ = sums.shape
        ones = self.local(sums.address + HALVES * tile_bytes(sums), (n, PARTS, h, 1))
        yield Fill(target=ones, value=bf16.pattern(1.0), layer=self.layer)
        yield self._products(sums, ones, at["@bias"], Window(kernel=(1, 1)), _CONTINUED)

    def _joined(self, sums: Local, result: Local) -> Iterator[Instruction]:
        """Both planes into the result."""
        low = replace(sums, address=sums.address + tile_bytes(sums))
        for plane, half in ((sums, upper(result)), (low, _lower(result))):
            for part in (low_bytes, high_bytes):
                yield Arith(op=ArithOp.COPY, result=part(half), left=part(plane), layer=self.layer)

    def _products(
        self, sums: Local, source: Local, weight: int, window: Window, partial: int
    ) -> Conv:
        return Conv(
            result=sums,
            input=source,
            weight=weight,
            window=window,
            partial=partial,
            partial_plane=tile_bytes(sums),
            layer=self.layer,
        )

    def cycles(self, tile: Tile) -> float:
        box = tile.box
        sums = self.rounds(Box(box.n, box.c, box.h, Range(0, 1)))
        return 300 + sums * max(self.rows * self.columns * tile.k.size + 1, 16)


def _lower(tensor: Local) -> Local:
    """The lower halves of the fp32 numbers whose halves are given."""
    return replace(upper(tensor), address=tensor.address)


@lowers(Fp32Conv)
def lower_filter(op: Op, ctx: Context) -> None:
    """Products of an image with filters of its width as fp32 numbers."""
    assert isinstance(op, Fp32Conv)
    run(TiledFilter(ctx, op))
