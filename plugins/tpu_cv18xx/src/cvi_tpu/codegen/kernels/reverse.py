"""Elements in the opposite order along one axis.

Strides have no sign, so every index along the axis is a copy of its own: by DMA, which is
cheap where long runs of bytes lie behind the axis, or in local memory, where columns of
single bytes cost no more than rows.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from math import prod

from cvi.ir import Op
from cvi.ops import Reverse
from cvi_tpu.codegen.context import Context, View, lowers
from cvi_tpu.codegen.kernels.movement_copy import MAX_ROW_STRIDE, copy_cost, copy_view
from cvi_tpu.codegen.planner import Part, Tile, TiledOp, plan, run
from cvi_tpu.codegen.tiling import Box, Range
from cvi_tpu.isa.instructions import Arith, ArithOp, Tiu
from cvi_tpu.isa.operands import Local, align, ceil_div


@lowers(Reverse)
def lower_reverse(op: Op, ctx: Context) -> None:
    """The cheaper of copies in DRAM and copies in local memory, for any element type."""
    assert isinstance(op, Reverse)
    source, target = ctx.view(op.inputs[0]), ctx.view(op.name)
    pairs = [
        (_at(source, op.axis, i), _at(target, op.axis, source.shape[op.axis] - 1 - i))
        for i in range(source.shape[op.axis])
    ]
    plans = [(one, plan(one)) for one in _tiled(op, ctx, source, target)]
    best = min(plans, key=lambda pair: pair[1].cost, default=None)
    if best is not None and best[1].cost < len(pairs) * copy_cost(ctx, *pairs[0]):
        run(*best)
        return
    for read, write in pairs:
        copy_view(ctx, read, write)


def _at(view: View, axis: int, index: int) -> View:
    """The elements at one index along an axis."""
    starts = tuple(index if dim == axis else 0 for dim in range(len(view.shape)))
    sizes = tuple(1 if dim == axis else size for dim, size in enumerate(view.shape))
    return view.window(starts, sizes)


def _tiled(op: Reverse, ctx: Context, source: View, target: View) -> list[TiledReverse]:
    """Ways to do it in local memory: what lies before the axis as channels, or as channels
    of several rows. Nothing when the memory is not dense or the runs do not fit."""
    outer = prod(source.shape[: op.axis])
    unit = prod(source.shape[op.axis + 1 :]) * source.element_bytes
    row = unit * source.shape[op.axis]
    room = 2 * align(unit, ctx.spec.eu_bytes)
    if unit > ctx.spec.max_size or room > ctx.lane_bytes:
        return []
    if not (source.is_dense and target.is_dense):
        return []
    channels = max(c for c in range(1, ctx.spec.lanes + 1) if outer % c == 0)
    shapes = [(1, outer, 1, row)]
    if row <= MAX_ROW_STRIDE:
        shapes.append((1, channels, outer // channels, row))
    dense = ((View.dense(v.region, v.address, s) for v in (source, target)) for s in shapes)
    return [TiledReverse(ctx, op, unit, *views) for views in dense]


class TiledReverse(TiledOp):
    """Rows of units of bytes, turned round by a copy for every unit of a tile's rows."""

    orders = ("nchwk",)

    def __init__(self, ctx: Context, op: Reverse, unit: int, source: View, target: View) -> None:
        super().__init__(ctx, op, [source], target)
        self.unit = unit

    def layer_signature(self) -> Hashable:
        return self.unit

    def units(self) -> Mapping[str, int]:
        return {**super().units(), "w": self.unit}

    def parts(self, tile: Tile) -> list[Part]:
        box = tile.box
        mirrored = Range(self.output[3] - box.w.stop, box.w.size)
        return [Part(Box(box.n, box.c, box.h, mirrored), "nchw")]

    def emit(
        self, tile: Tile, result: Local, operands: Sequence[Local], at: Mapping[str, int]
    ) -> list[Tiu]:
        starts = range(0, result.shape[3], self.unit)
        return [
            Arith(
                op=ArithOp.COPY,
                result=self._column(result, to),
                left=self._column(operands[0], start),
                layer=self.layer,
            )
            for to, start in zip(starts, reversed(starts), strict=True)
        ]

    def _column(self, tensor: Local, start: int) -> Local:
        n, c, h, _ = tensor.shape
        return replace(tensor, address=tensor.address + start, shape=(n, c, h, self.unit))

    def cycles(self, tile: Tile) -> float:
        n, c, h, w = tile.box.shape
        rounds = n * ceil_div(c, self.spec.lanes) * ceil_div(h * self.unit, self.spec.eu_bytes)
        return w // self.unit * (38 + 3.0 * rounds)
