"""Where the maxima of blocks are."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import ClassVar

from cvi.ir import Op
from cvi_tpu.codegen.context import Context, lowers
from cvi_tpu.codegen.kernels.pool import ARITH_ROUND, ARITH_START, LOWEST, plane_part
from cvi_tpu.codegen.kernels.window import Pair
from cvi_tpu.codegen.planner import Part, Tile, TiledOp, run, tile_bytes
from cvi_tpu.isa.instructions import Arith, ArithOp, Const, Pool, PoolOp, Tiu, Window
from cvi_tpu.isa.operands import Local, ceil_div
from cvi_tpu.quantized import bf16
from cvi_tpu.quantized.ops import Bf16PoolMask, Int8PoolMask
from cvi_tpu.quantized.ops.bf16_pool import HUGE

PoolMaskOp = Int8PoolMask | Bf16PoolMask

Step = tuple[ArithOp, Local, Local, Local | Const]
"""An operation, its result and its operands."""


class TiledPoolMask(TiledOp):
    """Base: the first maxima of blocks, position by position of the block, in its order.

    For every block two elements are kept: its maximum, and whether it is still open (1 while
    the maximum was not met yet).
    """

    orders = ("nchwk",)
    one: ClassVar[Const]
    lowest: ClassVar[int]
    steps: ClassVar[int]

    def __init__(self, ctx: Context, op: PoolMaskOp) -> None:
        super().__init__(ctx, op)
        self.size = op.size

    def layer_signature(self) -> Hashable:
        return self.size

    def planes(self, cut_k: bool) -> int:
        """The result, then the maxima, then what is open: never larger than the result."""
        del cut_k
        return 3

    def units(self) -> Mapping[str, int]:
        return {**super().units(), "h": self.size[0], "w": self.size[1]}

    def parts(self, tile: Tile) -> list[Part]:
        return [Part(tile.box, "nchw")]

    def emit(
        self, tile: Tile, result: Local, operands: Sequence[Local], at: Mapping[str, int]
    ) -> list[Tiu]:
        n, c, h, w = result.shape
        rows, columns = ceil_div(h, self.size[0]), ceil_div(w, self.size[1])
        plane = tile_bytes(result)
        maxima = self.local(result.address + plane, (n, c, rows, columns))
        window = Window(
            kernel=self.size,
            stride=self.size,
            dilation=(1, 1),
            pads=(0, 0, rows * self.size[0] - h, columns * self.size[1] - w),
            insert=(0, 0),
            fill=self.lowest,
        )
        layer, source = self.layer, operands[0]
        work: list[Tiu] = [
            Pool(op=PoolOp.MAX, result=maxima, input=source, window=window, layer=layer)
        ]
        result, source, maxima = (self.plain(x) for x in (result, source, maxima))
        still_open = replace(maxima, address=maxima.address + plane)
        for kind, left in ((ArithOp.MIN, maxima), (ArithOp.MAX, still_open)):
            work.append(self._step(kind, still_open, left, self.one))
        for y, x in product(range(min(h, self.size[0])), range(min(w, self.size[1]))):
            work += self._position((y, x), result, source, maxima, still_open)
        return work

    def _position(
        self, at: Pair, result: Local, source: Local, maxima: Local, still_open: Local
    ) -> list[Tiu]:
        """The mask at one position of all blocks that have it."""
        size = tuple(ceil_div(result.shape[2 + i] - at[i], self.size[i]) for i in (0, 1))
        here = (size[0], size[1])
        mask, pixels = (plane_part(x, at, here, self.size) for x in (result, source))
        top, opened = (plane_part(x, (0, 0), here, (1, 1)) for x in (maxima, still_open))
        return [self._step(*step) for step in self.close(mask, pixels, top, opened)]

    def _step(self, kind: ArithOp, to: Local, left: Local, right: Local | Const) -> Tiu:
        return Arith(op=kind, result=to, left=left, right=right, layer=self.layer)

    def plain(self, tensor: Local) -> Local:
        """A tensor as the steps take it."""
        raise NotImplementedError

    def close(self, mask: Local, pixels: Local, top: Local, opened: Local) -> list[Step]:
        """The steps that set the mask at a position, and what is open behind it."""
        raise NotImplementedError

    def cycles(self, tile: Tile) -> float:
        n, c, h, w = tile.box.shape
        rows, columns = ceil_div(h, self.size[0]), ceil_div(w, self.size[1])
        blocks = n * ceil_div(c, self.spec.lanes) * ceil_div(rows * columns, self.spec.eu_bytes)
        positions = self.size[0] * self.size[1]
        pool = 12 + blocks * (positions * self.size[1] + 2)
        return pool + (self.steps * positions + 2) * (ARITH_START + ARITH_ROUND * blocks)


class TiledInt8PoolMask(TiledPoolMask):
    """The bits of the pixel and of the maximum differ (xor), as a byte without a sign, in 0
    or more: the smaller of that and of `open` is what `open` becomes, and the mask is their
    difference."""

    one = Const(1, signed=False)
    lowest = LOWEST
    steps = 4

    def plain(self, tensor: Local) -> Local:
        return replace(tensor, signed=False)

    def close(self, mask: Local, pixels: Local, top: Local, opened: Local) -> list[Step]:
        return [
            (ArithOp.XOR, mask, pixels, top),  # 0 where the pixel is the maximum
            (ArithOp.MIN, mask, mask, opened),  # what is open behind this position
            (ArithOp.XOR, mask, mask, opened),  # what this position closes
            (ArithOp.XOR, opened, opened, mask),
        ]


class TiledBf16PoolMask(TiledPoolMask):
    """The maximum less the pixel is 0 or, made large, more than 1: the smaller of that and of
    `open` is what `open` becomes, and the mask is their difference."""

    one = Const(bf16.ONE)
    lowest = bf16.LOWEST
    steps = 5

    def plain(self, tensor: Local) -> Local:
        return tensor

    def close(self, mask: Local, pixels: Local, top: Local, opened: Local) -> list[Step]:
        return [
            (ArithOp.SUB, mask, top, pixels),  # 0 where the pixel is the maximum
            (ArithOp.MUL, mask, mask, Const(bf16.pattern(HUGE))),
            (ArithOp.MIN, mask, mask, opened),  # what is open behind this position
            (ArithOp.SUB, mask, opened, mask),  # what this position closes
            (ArithOp.SUB, opened, opened, mask),
        ]


@lowers(Int8PoolMask, Bf16PoolMask)
def lower_pool_mask(op: Op, ctx: Context) -> None:
    """Masks of the maxima of blocks."""
    assert isinstance(op, PoolMaskOp)
    kernel = TiledBf16PoolMask if isinstance(op, Bf16PoolMask) else TiledInt8PoolMask
    run(kernel(ctx, op))
