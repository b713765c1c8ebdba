"""Max pooling and nearest upsampling on tiles."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from itertools import product

from cvi.ir import Op
from cvi.ops import Upsample
from cvi_tpu.codegen.context import Context, lowers
from cvi_tpu.codegen.kernels.window import Sliding, reach, window_appetite, window_ranges
from cvi_tpu.codegen.planner import Part, Tile, TiledOp, run, tiles
from cvi_tpu.codegen.tiling import Box, Range
from cvi_tpu.isa.instructions import Arith, ArithOp, Pool, PoolOp, Tiu
from cvi_tpu.isa.operands import Local
from cvi_tpu.quantized import bf16
from cvi_tpu.quantized.ops import Bf16MaxPool2d, Int8MaxPool2d

LOWEST = -128

PoolingOp = Int8MaxPool2d | Bf16MaxPool2d


class TiledMaxPool(TiledOp):
    """Max pooling; padding holds the lowest value."""

    orders = ("nchwk",)

    def __init__(self, ctx: Context, op: PoolingOp) -> None:
        super().__init__(ctx, op)
        n, c, h, w = self.sources[0].shape
        self.sliding = Sliding(op.kernel, op.stride, op.pads)
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
        lowest = bf16.LOWEST if self.element_bytes > 1 else LOWEST
        window = self.sliding.window(*reach(self.axes, tile.box), lowest)
        source = operands[0]
        return [Pool(op=PoolOp.MAX, result=result, input=source, window=window, layer=self.layer)]

    def cycles(self, tile: Tile) -> float:
        rounds = self.rounds(tile.box)
        kh, kw = self.sliding.kernel
        return 12 + rounds * (kh * kw * self.sliding.stride[1] + 2)


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
