"""Filters and means of one pixel whose fp32 sums are stored whole (FACTS_TPU 2.3, 3.5, 3.6).

The engine leaves sums in two planes, all upper halves and all lower halves; byte by byte, which
changes no pattern, they are put beside each other.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import replace

from cvi.ir import Op
from cvi_tpu.codegen.context import BF16_BYTES, Context, View, as_bytes, lowers
from cvi_tpu.codegen.kernels.casts import HALVES, halves, upper
from cvi_tpu.codegen.kernels.eltwise import high_bytes, low_bytes
from cvi_tpu.codegen.kernels.finish import typed
from cvi_tpu.codegen.planner import Load, Part, Tile, TiledOp, run, tile_bytes
from cvi_tpu.codegen.tiling import Box, Range
from cvi_tpu.isa.instructions import (
    Arith,
    ArithOp,
    Const,
    Conv,
    Depthwise,
    Fill,
    Instruction,
    Window,
)
from cvi_tpu.isa.operands import Dram, Local, ceil_div
from cvi_tpu.quantized import bf16
from cvi_tpu.quantized.ops import Fp32Conv, Fp32Mean
from cvi_tpu.quantized.ops.fp32_sums import PARTS

_STORED, _CONTINUED = 2, 3
"""Sums that are left as fp32, from 0 on or from such ones on."""


class TiledSums(TiledOp):
    """Base: the result is [n, c, 1, 2], the two halves of every sum."""

    def __init__(self, ctx: Context, op: Op) -> None:
        super().__init__(ctx, op, [ctx.view(op.inputs[0])], halves(ctx.view(op.name)))
        _, self.channels, self.rows, self.columns = self.sources[0].shape
        self.window = Window(kernel=(self.rows, self.columns))

    def units(self) -> Mapping[str, int]:
        return {**super().units(), "w": HALVES}

    def planes(self, cut_k: bool) -> int:
        """The result, the two planes, and room for ones."""
        del cut_k
        return 5

    def emit(
        self, tile: Tile, result: Local, operands: Sequence[Local], at: Mapping[str, int]
    ) -> list[Instruction]:
        n, c, _, _ = result.shape
        sums = self.local(result.address + tile_bytes(result), (n, c, 1, 1))
        work = list(self.add_up(tile, sums, operands[0], at))
        return [*work, *self._joined(sums, result)] if tile.last else work

    def _joined(self, sums: Local, result: Local) -> Iterator[Instruction]:
        """Both planes into the result."""
        low = replace(sums, address=sums.address + tile_bytes(sums))
        for plane, half in ((sums, upper(result)), (low, lower(result))):
            for part in (low_bytes, high_bytes):
                yield Arith(op=ArithOp.COPY, result=part(half), left=part(plane), layer=self.layer)

    @abstractmethod
    def add_up(
        self, tile: Tile, sums: Local, source: Local, at: Mapping[str, int]
    ) -> Iterator[Instruction]:
        """Leave sums in the planes from `sums` on."""

    def whole(self, tile: Tile, channels: Range, depends: str) -> Part:
        """All pixels of some channels."""
        return Part(Box(tile.box.n, channels, Range(0, self.rows), Range(0, self.columns)), depends)

    def cycles(self, tile: Tile) -> float:
        return 300 + self.rounds(tile.box) * self.rows * self.columns * 4.0


def lower(tensor: Local) -> Local:
    """The lower halves of the fp32 numbers whose halves are given."""
    return replace(upper(tensor), address=tensor.address)


class TiledMean(TiledSums):
    """A depthwise convolution with one constant weight."""

    def __init__(self, ctx: Context, op: Fp32Mean) -> None:
        super().__init__(ctx, op)
        self.factor = bf16.pattern(op.factor)

    def parts(self, tile: Tile) -> list[Part]:
        return [self.whole(tile, tile.box.c, "nc")]

    def add_up(
        self, tile: Tile, sums: Local, source: Local, at: Mapping[str, int]
    ) -> Iterator[Instruction]:
        yield Depthwise(
            result=sums,
            input=source,
            weight=Const(self.factor),
            window=self.window,
            partial=_STORED,
            partial_plane=tile_bytes(sums),
            layer=self.layer,
        )


class TiledFilter(TiledSums):
    """A convolution in one pass or several, and one of ones with the parts of the bias."""

    orders = ("nchwk", "cnhwk")

    def __init__(self, ctx: Context, op: Fp32Conv) -> None:
        super().__init__(ctx, op)
        weight = ctx.constant(op.inputs[1])
        oc, ic, h, w = weight.shape
        self.reduction, self.step = ic, op.step or ic
        packed = weight.transpose(0, 2, 3, 1).reshape(oc, h * w, ic)
        self.weight = typed(ctx.weight(as_bytes(packed)), packed.shape, BF16_BYTES)
        self.bias: View | None = None
        if op.inputs[2]:
            bias = ctx.constant(op.inputs[2]).reshape(oc, 1, PARTS)
            self.bias = typed(ctx.weight(as_bytes(bias)), bias.shape, BF16_BYTES)

    def depths(self) -> list[int]:
        return [self.step]

    def layer_signature(self) -> Hashable:
        return self.bias is None, self.step

    def parts(self, tile: Tile) -> list[Part]:
        return [self.whole(tile, tile.k, "nk")]

    def constants(self, tile: Tile) -> list[Load]:
        loads = [self._load("@weight", self.weight, tile.box.c, tile.k)]
        if self.bias is not None and tile.last:
            loads.append(self._load("@bias", self.bias, tile.box.c, Range(0, PARTS)))
        return loads

    def _load(self, slot: str, filters: View, channels: Range, inner: Range) -> Load:
        """Filters of some output and input channels, as a convolution reads them."""
        taps, depth = filters.shape[1], inner.size
        part = filters.window((channels.start, 0, inner.start), (channels.size, taps, depth))
        shape = (1, channels.size, taps, depth)
        c_stride, h_stride, _ = part.strides
        source = Dram(
            part.region, part.address, shape,
            (channels.size * c_stride, c_stride, h_stride), bf16=True,
        )  # fmt: skip
        row = depth * BF16_BYTES
        strides = (
            ceil_div(channels.size, self.spec.lanes) * taps * row, taps * row, row, BF16_BYTES
        )  # fmt: skip
        return Load(slot, (channels, inner), source, Local(0, shape, strides, bf16=True), "ck")

    def add_up(
        self, tile: Tile, sums: Local, source: Local, at: Mapping[str, int]
    ) -> Iterator[Instruction]:
        partial = _STORED if tile.first else _CONTINUED
        yield self._products(sums, source, at["@weight"], self.window, partial)
        if self.bias is None or not tile.last:
            return
        ones = self.local(sums.address + HALVES * tile_bytes(sums), (sums.shape[0], PARTS, 1, 1))
        yield Fill(target=ones, value=bf16.pattern(1.0), layer=self.layer)
        yield self._products(sums, ones, at["@bias"], Window(kernel=(1, 1)), _CONTINUED)

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


@lowers(Fp32Mean)
def lower_mean(op: Op, ctx: Context) -> None:
    """The mean of an image as an fp32 number."""
    assert isinstance(op, Fp32Mean)
    run(TiledMean(ctx, op))


@lowers(Fp32Conv)
def lower_filter(op: Op, ctx: Context) -> None:
    """Products of an image with filters of its size as fp32 numbers."""
    assert isinstance(op, Fp32Conv)
    run(TiledFilter(ctx, op))
