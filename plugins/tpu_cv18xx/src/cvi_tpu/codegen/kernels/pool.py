"""Max pooling and nearest upsampling on tiles."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

from cvi.ir import Op
from cvi.ops import Upsample
from cvi_tpu.codegen.context import Context, lowers
from cvi_tpu.codegen.kernels.window import Sliding, reach, window_appetite, window_ranges
from cvi_tpu.codegen.planner import Load, Tile, TiledOp, run
from cvi_tpu.codegen.tiling import Box, Range
from cvi_tpu.isa.instructions import Arith, ArithOp, Pool, PoolOp, Tiu
from cvi_tpu.isa.operands import Dram, Local, Shape4, ceil_div
from cvi_tpu.quantized.ops import Int8MaxPool2d

LOWEST = -128


def shape4(shape: tuple[int, ...]) -> Shape4:
    n, c, h, w = shape
    return (n, c, h, w)


class TiledMaxPool(TiledOp):
    """Max pooling; padding holds the lowest value."""

    orders = ("nchwk",)

    def __init__(self, ctx: Context, op: Int8MaxPool2d) -> None:
        super().__init__(ctx)
        self.source, self.target = ctx.view(op.inputs[0]), ctx.view(op.name)
        self.output = shape4(self.target.shape)
        self.sliding = Sliding(op.kernel, op.stride, op.pads)
        self.axes = self.sliding.axes(shape4(self.source.shape))

    def ranges(self, dim: str, size: int) -> list[Range]:
        if dim in "hw":
            return window_ranges(self.axes, dim, size)
        return super().ranges(dim, size)

    def appetite(self, dim: str, part: Range) -> int:
        return window_appetite(self.axes, dim, part) if dim in "hw" else part.size

    def loads(self, tile: Tile) -> list[Load]:
        box = tile.box
        h, w = reach(self.axes, box)
        starts = (box.n.start, box.c.start, h.range.start, w.range.start)
        shape = (box.n.size, box.c.size, h.range.size, w.range.size)
        source = self.source.window(starts, shape).dram()
        return [Load("in", (starts, shape), source, self.local(0, shape), "nchw")]

    def store(self, box: Box) -> Dram:
        return self.target.window(box.starts, box.shape).dram()

    def compute(self, tile: Tile, at: Mapping[str, int]) -> list[Tiu]:
        h, w = reach(self.axes, tile.box)
        n, c = tile.box.n.size, tile.box.c.size
        return [
            Pool(
                op=PoolOp.MAX,
                result=self.local(at["out"], tile.box.shape),
                input=self.local(at["in"], (n, c, h.range.size, w.range.size)),
                window=self.sliding.window(h, w, LOWEST),
                layer=self.ctx.layer,
            )
        ]

    def cycles(self, tile: Tile) -> float:
        n, c, h, w = tile.box.shape
        rounds = n * ceil_div(c, self.spec.lanes) * ceil_div(h * w, self.spec.eu_bytes)
        kh, kw = self.sliding.kernel
        return 12 + rounds * (kh * kw * self.sliding.stride[1] + 2)


@lowers(Int8MaxPool2d)
def lower_max_pool(op: Op, ctx: Context) -> None:
    """Max pooling."""
    assert isinstance(op, Int8MaxPool2d)
    run(TiledMaxPool(ctx, op))


class TiledUpsample(TiledOp):
    """Nearest upsampling: one strided copy in local memory per position in a pixel's block."""

    orders = ("nchwk",)

    def __init__(self, ctx: Context, op: Upsample) -> None:
        super().__init__(ctx)
        self.source, self.target = ctx.view(op.inputs[0]), ctx.view(op.name)
        self.output = shape4(self.target.shape)
        self.factors = op.factors

    def units(self) -> Mapping[str, int]:
        return {**super().units(), "h": self.factors[0], "w": self.factors[1]}

    def _input(self, box: Box) -> tuple[Shape4, Shape4]:
        fh, fw = self.factors
        starts = (box.n.start, box.c.start, box.h.start // fh, box.w.start // fw)
        return starts, (box.n.size, box.c.size, box.h.size // fh, box.w.size // fw)

    def loads(self, tile: Tile) -> list[Load]:
        starts, shape = self._input(tile.box)
        source = self.source.window(starts, shape).dram()
        return [Load("in", (starts, shape), source, self.local(0, shape), "nchw")]

    def store(self, box: Box) -> Dram:
        return self.target.window(box.starts, box.shape).dram()

    def compute(self, tile: Tile, at: Mapping[str, int]) -> list[Tiu]:
        _, shape = self._input(tile.box)
        source = self.local(at["in"], shape)
        n_stride, c_stride, h_stride, w_stride = self.local(0, tile.box.shape).strides
        fh, fw = self.factors
        strides = (n_stride, c_stride, h_stride * fh, w_stride * fw)
        return [
            Arith(
                op=ArithOp.COPY,
                result=Local(at["out"] + y * h_stride + x * w_stride, shape, strides),
                left=source,
                layer=self.ctx.layer,
            )
            for y, x in product(range(fh), range(fw))
        ]

    def cycles(self, tile: Tile) -> float:
        n, c, h, w = self._input(tile.box)[1]
        rounds = n * ceil_div(c, self.spec.lanes) * ceil_div(h * w, self.spec.eu_bytes)
        return self.factors[0] * self.factors[1] * (38 + rounds * 3)


@lowers(Upsample)
def lower_upsample(op: Op, ctx: Context) -> None:
    """Nearest upsampling by whole factors."""
    assert isinstance(op, Upsample)
    run(TiledUpsample(ctx, op))
