"""Max pooling and nearest upsampling on tiles."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product

from cvi.ir import Op
from cvi.ops import Upsample
from cvi_tpu.codegen.context import Context, lowers
from cvi_tpu.codegen.kernels.eltwise import high_bytes, low_bytes
from cvi_tpu.codegen.kernels.window import Pair, Sliding, reach, window_appetite, window_ranges
from cvi_tpu.codegen.planner import Part, Tile, TiledOp, run, tiles
from cvi_tpu.codegen.tiling import Box, Range
from cvi_tpu.isa.instructions import Arith, ArithOp, Const, Pool, PoolOp, Tiu
from cvi_tpu.isa.operands import Local, ceil_div
from cvi_tpu.quantized import bf16
from cvi_tpu.quantized.ops import Bf16MaxPool2d, Int8MaxPool2d

LOWEST = -128

PoolingOp = Int8MaxPool2d | Bf16MaxPool2d

ARITH_START, ARITH_ROUND = 40.0, 8.0
"""Cycles of an operation on two tensors: to start, and per round of all lanes (FACTS_COST 1)."""


class TiledMaxPool(TiledOp):
    """Max pooling; padding holds the lowest value.

    The instruction knows no dilation: a dilated window is the maximum of strided parts of
    the operand, one for each of its taps.
    """

    orders = ("nchwk",)

    def __init__(self, ctx: Context, op: PoolingOp) -> None:
        super().__init__(ctx, op)
        n, c, h, w = self.sources[0].shape
        self.sliding = Sliding(op.kernel, op.stride, op.pads, op.dilation)
        self.axes = self.sliding.axes((n, c, h, w))

    def layer_signature(self) -> Hashable:
        return self.sliding

    def ranges(self, dim: str, size: int) -> list[Range]:
        if dim in "hw":
            return window_ranges(self.axes, dim, size)
        return super().ranges(dim, size)

    def reaches(self, box: Box) -> bool:
        return self.axes[0].reach(box.h) is not None and self.axes[1].reach(box.w) is not None

    def appetite(self, dim: str, part: Range) -> int:
        return window_appetite(self.axes, dim, part) if dim in "hw" else part.size

    def parts(self, tile: Tile) -> list[Part]:
        h, w = reach(self.axes, tile.box)
        return [Part(Box(tile.box.n, tile.box.c, h.range, w.range), "nchw")]

    def emit(
        self, tile: Tile, result: Local, operands: Sequence[Local], at: Mapping[str, int]
    ) -> list[Tiu]:
        h, w = reach(self.axes, tile.box)
        source = operands[0]
        if self.sliding.dilation != (1, 1):
            return [*self._taps(h.before, w.before, result, source)]
        lowest = bf16.LOWEST if self.element_bytes > 1 else LOWEST
        window = self.sliding.window(h, w, lowest)
        return [Pool(op=PoolOp.MAX, result=result, input=source, window=window, layer=self.layer)]

    def _taps(self, top: int, left: int, result: Local, source: Local) -> Iterator[Tiu]:
        """The lowest value everywhere, then every tap's maximum where it meets a pixel."""
        yield from self._lowest(result)
        starts = [
            [i * dilation - before for i in range(kernel)]
            for kernel, dilation, before in zip(
                self.sliding.kernel, self.sliding.dilation, (top, left), strict=True
            )
        ]
        for row, column in product(*starts):
            parts = self._overlap(row, column, result, source)
            if parts is not None:
                mine, theirs = parts
                yield Arith(op=ArithOp.MAX, result=mine, left=mine, right=theirs, layer=self.layer)

    def _lowest(self, result: Local) -> Iterator[Tiu]:
        """The lowest value everywhere, whatever was there: numbers that are not finite would
        stay in BF16 arithmetic, so that its patterns are written as bytes."""
        if self.element_bytes == 1:
            yield self._bounded(ArithOp.MIN, result, Const(LOWEST))
            return
        upper, lower = (Const(byte, signed=False) for byte in divmod(bf16.LOWEST, 256))
        high, low = (replace(part(result), signed=False) for part in (high_bytes, low_bytes))
        yield self._bounded(ArithOp.MAX, high, upper)
        yield self._bounded(ArithOp.MAX, low, lower)
        yield self._bounded(ArithOp.MIN, low, lower)

    def _bounded(self, kind: ArithOp, result: Local, bound: Const) -> Tiu:
        return Arith(op=kind, result=result, left=result, right=bound, layer=self.layer)

    def _overlap(
        self, row: int, column: int, result: Local, source: Local
    ) -> tuple[Local, Local] | None:
        """The results of whose window the tap that starts at a row and a column meets a
        pixel, and those pixels; None when there are none."""
        sh, sw = self.sliding.stride
        spans = [
            _meeting(start, step, count, size)
            for start, step, count, size in zip(
                (row, column), (sh, sw), result.shape[2:], source.shape[2:], strict=True
            )
        ]
        (y, rows), (x, columns) = ((span.start, len(span)) for span in spans)
        if not rows or not columns:
            return None
        size = (rows, columns)
        theirs = (row + y * sh, column + x * sw)
        return plane_part(result, (y, x), size, (1, 1)), plane_part(source, theirs, size, (sh, sw))

    def cycles(self, tile: Tile) -> float:
        rounds = self.rounds(tile.box)
        kh, kw = self.sliding.kernel
        if self.sliding.dilation != (1, 1):
            return (kh * kw + 1) * (ARITH_START + ARITH_ROUND * rounds)
        return 12 + rounds * (kh * kw * self.sliding.stride[1] + 2)


def _meeting(start: int, step: int, count: int, size: int) -> range:
    """For which i below `count` the position start + i * step lies in [0, size)."""
    first = max(ceil_div(-start, step), 0)
    return range(first, max(first, min(ceil_div(size - start, step), count)))


def plane_part(tensor: Local, start: Pair, size: Pair, step: Pair) -> Local:
    """`size` rows and columns of every plane from `start` on, each `step` from the last."""
    n, c, _, _ = tensor.shape
    sn, sc, sh, sw = tensor.strides
    address = tensor.address + start[0] * sh + start[1] * sw
    strides = (sn, sc, sh * step[0], sw * step[1])
    return replace(tensor, address=address, shape=(n, c, *size), strides=strides)


@tiles(Int8MaxPool2d, Bf16MaxPool2d)
def fusable_max_pool(op: Op, ctx: Context) -> TiledOp | None:
    """Max pooling."""
    assert isinstance(op, PoolingOp)
    return TiledMaxPool(ctx, op)


@lowers(Int8MaxPool2d, Bf16MaxPool2d)
def lower_max_pool(op: Op, ctx: Context) -> None:
    """Max pooling."""
    assert isinstance(op, PoolingOp)
    run(TiledMaxPool(ctx, op))


class TiledUpsample(TiledOp):
    """Nearest upsampling: one strided copy in local memory per position in a pixel's block."""

    orders = ("nchwk",)
    strict = False

    def __init__(self, ctx: Context, op: Upsample) -> None:
        super().__init__(ctx, op)
        self.factors = op.factors

    def layer_signature(self) -> Hashable:
        return self.factors

    def units(self) -> Mapping[str, int]:
        return {**super().units(), "h": self.factors[0], "w": self.factors[1]}

    def parts(self, tile: Tile) -> list[Part]:
        box = tile.box
        h, w = (
            Range(r.start // factor, r.size // factor)
            for r, factor in zip((box.h, box.w), self.factors, strict=True)
        )
        return [Part(Box(box.n, box.c, h, w), "nchw")]

    def emit(
        self, tile: Tile, result: Local, operands: Sequence[Local], at: Mapping[str, int]
    ) -> list[Tiu]:
        source = operands[0]
        n_stride, c_stride, h_stride, w_stride = result.strides
        fh, fw = self.factors
        strides = (n_stride, c_stride, h_stride * fh, w_stride * fw)
        return [
            Arith(
                op=ArithOp.COPY,
                result=Local(result.address + y * h_stride + x * w_stride, source.shape, strides),
                left=source,
                layer=self.layer,
            )
            for y, x in product(range(fh), range(fw))
        ]

    def cycles(self, tile: Tile) -> float:
        rounds = self.rounds(self.parts(tile)[0].box)
        return self.factors[0] * self.factors[1] * (38 + rounds * 3)


@lowers(Upsample)
def lower_upsample(op: Op, ctx: Context) -> None:
    """Nearest upsampling by whole factors."""
    assert isinstance(op, Upsample)
    run(TiledUpsample(ctx, op))
