"""Where the maxima of blocks are."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from itertools import product

from cvi.ir import Op
from cvi_tpu.codegen.context import Context, lowers
from cvi_tpu.codegen.kernels.pool import ARITH_ROUND, ARITH_START, LOWEST, plane_part
from cvi_tpu.codegen.kernels.window import Pair
from cvi_tpu.codegen.planner import Part, Tile, TiledOp, run, tile_bytes
from cvi_tpu.isa.instructions import Arith, ArithOp, Const, Pool, PoolOp, Tiu, Window
from cvi_tpu.isa.operands import Local, ceil_div
from cvi_tpu.quantized.ops import Int8PoolMask


class TiledPoolMask(TiledOp):
    """The first maxima of blocks, position by position of the block, in its order.

    For every block two bytes are kept: its maximum, and whether it is still open (1 while
    the maximum was not met yet). At each position the bits of the pixel and of the maximum
    differ (xor), as a byte without a sign, in 0 or more: the smaller of that and of `open`
    is what `open` becomes, and the mask is their difference.
    """

    orders = ("nchwk",)

    def __init__(self, ctx: Context, op: Int8PoolMask) -> None:
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
        still_open = replace(maxima, address=maxima.address + plane, signed=False)
        window = Window(
            kernel=self.size,
            stride=self.size,
            dilation=(1, 1),
            pads=(0, 0, rows * self.size[0] - h, columns * self.size[1] - w),
            insert=(0, 0),
            fill=LOWEST,
        )
        layer = self.layer
        work: list[Tiu] = [
            Pool(op=PoolOp.MAX, result=maxima, input=operands[0], window=window, layer=layer)
        ]
        maxima = replace(maxima, signed=False)
        one = Const(1, signed=False)
        for kind, source in ((ArithOp.MIN, maxima), (ArithOp.MAX, still_open)):
            work.append(Arith(op=kind, result=still_open, left=source, right=one, layer=layer))
        for y, x in product(range(min(h, self.size[0])), range(min(w, self.size[1]))):
            work += self._position((y, x), result, operands[0], maxima, still_open)
        return work

    def _position(
        self, at: Pair, result: Local, source: Local, maxima: Local, still_open: Local
    ) -> list[Tiu]:
        """The mask at one position of all blocks that have it."""
        size = tuple(ceil_div(result.shape[2 + i] - at[i], self.size[i]) for i in (0, 1))
        here = (size[0], size[1])
        mask, pixels = (
            replace(plane_part(x, at, here, self.size), signed=False) for x in (result, source)
        )
        top, opened = (plane_part(x, (0, 0), here, (1, 1)) for x in (maxima, still_open))
        steps = [
            (ArithOp.XOR, mask, pixels, top),  # 0 where the pixel is the maximum
            (ArithOp.MIN, mask, mask, opened),  # what is open behind this position
            (ArithOp.XOR, mask, mask, opened),  # what this position closes
            (ArithOp.XOR, opened, opened, mask),
        ]
        return [
            Arith(op=kind, result=to, left=left, right=right, layer=self.layer)
            for kind, to, left, right in steps
        ]

    def cycles(self, tile: Tile) -> float:
        n, c, h, w = tile.box.shape
        rows, columns = ceil_div(h, self.size[0]), ceil_div(w, self.size[1])
        blocks = n * ceil_div(c, self.spec.lanes) * ceil_div(rows * columns, self.spec.eu_bytes)
        positions = self.size[0] * self.size[1]
        pool = 12 + blocks * (positions * self.size[1] + 2)
        return pool + (4 * positions + 2) * (ARITH_START + ARITH_ROUND * blocks)


@lowers(Int8PoolMask)
def lower_pool_mask(op: Op, ctx: Context) -> None:
    """Masks of the maxima of blocks."""
    assert isinstance(op, Int8PoolMask)
    run(TiledPoolMask(ctx, op))
