"""Convolution, depthwise convolution and average pooling on tiles, in INT8 and BF16."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from cvi.ir import Array, Op
from cvi_tpu.codegen.context import Context, View, as_bytes, lowers
from cvi_tpu.codegen.kernels.dequantise import Grid
from cvi_tpu.codegen.kernels.finish import (
    Finish,
    filter_load,
    requantise,
    round_to_bf16,
    typed,
)
from cvi_tpu.codegen.kernels.window import Sliding, reach, window_appetite, window_ranges
from cvi_tpu.codegen.planner import Load, Part, Tile, TiledOp, run, tile_bytes, tiles
from cvi_tpu.codegen.tiling import Box, Range, split
from cvi_tpu.isa.instructions import Const, Conv, Depthwise, Instruction, Quant, Tiu, Window
from cvi_tpu.isa.operands import Dram, Local
from cvi_tpu.quantized import bf16
from cvi_tpu.quantized.ops import Bf16AvgPool2d, Bf16Conv2d, Int8AvgPool2d, Int8Conv2d


class _Windowed(TiledOp):
    """Base: one input with a sliding window; what follows the sums is per channel."""

    def __init__(self, ctx: Context, op: Op, sliding: Sliding, finish: Finish) -> None:
        super().__init__(ctx, op)
        n, c, h, w = self.sources[0].shape
        self.sliding = sliding
        self.axes = sliding.axes((n, c, h, w))
        self.finish = finish

    def ranges(self, dim: str, size: int) -> list[Range]:
        if dim in "hw":
            return window_ranges(self.axes, dim, size)
        return super().ranges(dim, size)

    def reaches(self, box: Box) -> bool:
        return self.axes[0].reach(box.h) is not None and self.axes[1].reach(box.w) is not None

    def appetite(self, dim: str, part: Range) -> int:
        return window_appetite(self.axes, dim, part) if dim in "hw" else part.size

    def layer_signature(self) -> Hashable:
        return self.sliding, bool(self.finishing(Range(0, 1)))

    def part(self, box: Box, channels: Range, depends: str) -> Part:
        """The input under a box of the result."""
        h, w = reach(self.axes, box)
        return Part(Box(box.n, channels, h.range, w.range), depends)

    def window(self, box: Box, fill: int) -> Window:
        """The window of a tile whose input is just what it needs."""
        return self.sliding.window(*reach(self.axes, box), fill)

    def finishing(self, channels: Range) -> list[Load]:
        """Records or biases of output channels."""
        load = self.finish.load(channels, self.spec.lanes)
        return [] if load is None else [load]


class TiledConv(_Windowed):
    """A convolution within one group of channels or without groups.

    The reduction over input channels may be cut, for BF16 as the op says: partial sums
    then stay in local memory as 32-bit values in planes (FACTS_TPU 2.3, 3.5).
    grid: how int8 weights become BF16, None when the weights are of the result's type.
    """

    orders = ("nhwck", "cnhwk")

    def __init__(self, ctx: Context, op: ConvOp, finish: Finish) -> None:
        weight = ctx.constant(op.inputs[1])
        oc, ic, kh, kw = weight.shape
        self.op, self.fill = op, fill_of(op)
        super().__init__(ctx, op, sliding_of(op, (kh, kw)), finish)
        self.group_in, self.group_out = ic, oc // op.group
        self.reduction = ic
        # An even number of bytes is computed two at a time: an odd one gets a channel of
        # zero weights, whatever lies in that lane then counts nothing.
        pairs = isinstance(op, Int8Conv2d) and ic % 2 and ic >= 3
        self.padded = ic + 1 if pairs and ic < self.spec.max_size else ic
        packed = np.zeros((oc, kh * kw, self.padded), weight.dtype)
        packed[:, :, :ic] = weight.reshape(oc, ic, kh * kw).transpose(0, 2, 1)
        self.weight = typed(ctx.weight(as_bytes(packed)), packed.shape, packed.itemsize)
        self.grid = grid_of(op, ctx)

    def depths(self) -> list[int]:
        if isinstance(self.op, Bf16Conv2d):
            return [self.op.step or self.reduction]
        return super().depths()

    def ranges(self, dim: str, size: int) -> list[Range]:
        if dim != "c" or self.op.group == 1:
            return super().ranges(dim, size)
        return [
            Range(group * self.group_out + part.start, part.size)
            for group in range(self.op.group)
            for part in split(self.group_out, min(size, self.group_out))
        ]

    def layer_signature(self) -> Hashable:
        return (super().layer_signature(), self.op.group, self.padded, self.grid is None)

    def channels(self, tile: Tile) -> Range:
        """Input channels of a tile."""
        group = tile.box.c.start // self.group_out
        return Range(group * self.group_in + tile.k.start, tile.k.size)

    def _depth(self, tile: Tile) -> int:
        """Input channels that are computed, the padding channel included."""
        return tile.k.size + (self.padded - self.group_in if tile.k.stop == self.reduction else 0)

    def parts(self, tile: Tile) -> list[Part]:
        depends = "nhwk" if self.op.group == 1 else "nchwk"
        return [self.part(tile.box, self.channels(tile), depends)]

    def constants(self, tile: Tile) -> list[Load]:
        found = [self._load_weight(tile), *(self.finishing(tile.box.c) if tile.last else ())]
        return found if self.grid is None else [self.grid.load(tile.box.c, self.spec.lanes), *found]

    def prepare(self, slot: str, tile: Tile, at: Mapping[str, int]) -> Sequence[Instruction]:
        if self.grid is None or slot != "@weight":
            return ()
        weight = replace(self._load_weight(tile).target, address=at[slot])
        return self.grid.dequantise(weight, at["@grid"], self.spec, self.layer)

    def _load_weight(self, tile: Tile) -> Load:
        inner = Range(tile.k.start, self._depth(tile))
        return filter_load(
            "@weight", self.weight, tile.box.c, inner, self.spec.lanes, self.element_bytes
        )

    def planes(self, cut_k: bool) -> int:
        return 4 // self.element_bytes if cut_k else 1

    def emit(
        self, tile: Tile, result: Local, operands: Sequence[Local], at: Mapping[str, int]
    ) -> list[Tiu]:
        n, _, h, w = operands[0].shape
        source = replace(operands[0], shape=(n, self._depth(tile), h, w))
        partial = (0 if tile.first else 1) | (0 if tile.last else 2)
        return [
            Conv(
                result=result,
                input=source,
                weight=at["@weight"],
                window=self.window(tile.box, self.fill),
                quant=self.finish.quant(at.get("@records", 0)) if tile.last else Quant(),
                partial=partial,
                partial_plane=tile_bytes(result) if partial else 0,
                layer=self.layer,
            )
        ]

    def cycles(self, tile: Tile) -> float:
        kh, kw = self.sliding.kernel
        depth = self._depth(tile)
        twice = self.element_bytes == 1 and depth % 2 == 0 and depth >= 4
        loop = kh * kw * (depth // 2 if twice else depth)
        return 72 + self.rounds(tile.box) * max(loop + 1, 16)


class TiledDepthwise(_Windowed):
    """A depthwise convolution: every channel with its own filter, or all with one constant."""

    orders = ("cnhwk",)
    strict = False

    def __init__(
        self, ctx: Context, op: Op, sliding: Sliding, finish: Finish, weight: Array | int,
        *, fill: int = 0,
    ) -> None:  # fmt: skip
        super().__init__(ctx, op, sliding, finish)
        self.fill = fill
        self.weight: View | int = (
            weight if isinstance(weight, int) else ctx.weight(as_bytes(weight))
        )

    def parts(self, tile: Tile) -> list[Part]:
        return [self.part(tile.box, tile.box.c, "nchw")]

    def constants(self, tile: Tile) -> list[Load]:
        found = self.finishing(tile.box.c)
        if isinstance(self.weight, View):
            found.append(self._load_weight(self.weight, tile.box.c))
        return found

    def _load_weight(self, weight: View, channels: Range) -> Load:
        kh, kw = self.sliding.kernel
        shape, size = (1, channels.size, kh, kw), self.element_bytes
        filter_bytes = kh * kw * size
        source = Dram(
            weight.region,
            weight.address + channels.start * filter_bytes,
            shape,
            (channels.size * filter_bytes, filter_bytes, kw * size),
            bf16=size > 1,
        )
        return Load("@weight", channels, source, self.local(0, shape), "c")

    def emit(
        self, tile: Tile, result: Local, operands: Sequence[Local], at: Mapping[str, int]
    ) -> list[Tiu]:
        return [
            Depthwise(
                result=result,
                input=operands[0],
                weight=Const(self.weight) if isinstance(self.weight, int) else at["@weight"],
                window=self.window(tile.box, self.fill),
                quant=self.finish.quant(at.get("@records", 0)),
                layer=self.layer,
            )
        ]

    def cycles(self, tile: Tile) -> float:
        kh, kw = self.sliding.kernel
        return 31 + self.rounds(tile.box) * max(2 * kh * kw * self.sliding.stride[1] + 1, 16)


ConvOp = Int8Conv2d | Bf16Conv2d


def sliding_of(op: ConvOp, kernel: tuple[int, int]) -> Sliding:
    """How the window of a convolution moves."""
    return Sliding(kernel, op.stride, op.pads, op.dilation, op.insert)


def fill_of(op: ConvOp) -> int:
    """What padding holds: BF16 can only have zeros (FACTS_TPU 3.5)."""
    return op.fill if isinstance(op, Int8Conv2d) else 0


def finish_of(op: ConvOp, ctx: Context) -> Finish:
    """What follows the sums of a convolution."""
    bias = ctx.constant(op.inputs[2]) if op.inputs[2] else None
    if isinstance(op, Bf16Conv2d):
        return round_to_bf16(ctx, bias, op.type.shape[1], relu=op.relu)
    multiplier, shift = (ctx.constant(name) for name in op.inputs[3:])
    return requantise(ctx, bias, multiplier, shift, relu=op.relu)


def grid_of(op: ConvOp, ctx: Context) -> Grid | None:
    """The scales and zero points of int8 weights that BF16 products are made of."""
    if isinstance(op, Int8Conv2d) or not op.is_mixed:
        return None
    rows = np.stack([ctx.constant(name) for name in op.inputs[3:]])
    return Grid(ctx.weight(as_bytes(rows)), rows.shape[1])


def tiled_conv(op: ConvOp, ctx: Context) -> TiledOp:
    """The kernel of a convolution: depthwise when every channel is a group of its own."""
    weight = ctx.constant(op.inputs[1])
    oc, ic = weight.shape[:2]
    finish = finish_of(op, ctx)
    if op.group == 1 or ic > 1 or op.group != oc:
        return TiledConv(ctx, op, finish)
    if isinstance(op, Int8Conv2d) and "depthwise_undilated" in ctx.spec.features:
        weight, op = widened(weight, op.dilation), op.with_(dilation=(1, 1))
    sliding = sliding_of(op, (weight.shape[2], weight.shape[3]))
    return TiledDepthwise(ctx, op, sliding, finish, weight, fill=fill_of(op))


def widened(weight: Array, dilation: tuple[int, int]) -> Array:
    """The filter [oc, ic, kh, kw] with zeros in place of its dilation."""
    oc, ic, kh, kw = weight.shape
    rows, columns = dilation
    wide = np.zeros((oc, ic, (kh - 1) * rows + 1, (kw - 1) * columns + 1), weight.dtype)
    wide[:, :, ::rows, ::columns] = weight
    return wide


@lowers(Int8Conv2d, Bf16Conv2d)
def lower_conv(op: Op, ctx: Context) -> None:
    """A convolution, plain, grouped, depthwise or transposed."""
    assert isinstance(op, ConvOp)
    run(tiled_conv(op, ctx))


@tiles(Int8Conv2d, Bf16Conv2d)
def fusable_conv(op: Op, ctx: Context) -> TiledOp | None:
    """A convolution that is computed by one instruction per tile."""
    assert isinstance(op, ConvOp)
    tiled = tiled_conv(op, ctx)
    if not isinstance(tiled, TiledConv):
        return tiled
    whole = op.group == 1 and tiled.depths()[0] >= tiled.reduction
    return tiled if whole or (op.group == 1 and isinstance(op, Int8Conv2d)) else None


@dataclass(frozen=True)
class _Mean:
    """What makes the mean of a window's sum: a constant weight and what follows."""

    weight: int
    finish: Finish


AvgOp = Int8AvgPool2d | Bf16AvgPool2d


def _means(op: AvgOp, ctx: Context) -> dict[int, _Mean]:
    """By how many elements of a window count."""
    channels = op.type.shape[1]
    if isinstance(op, Bf16AvgPool2d):
        finish = round_to_bf16(ctx, None, channels, relu=op.relu)
        return {count: _Mean(bf16.pattern(factor), finish) for count, factor in op.factors}
    found = {}
    for count, weight, multiplier, shift in op.rates:
        m, s = np.full(channels, multiplier, np.uint32), np.full(channels, shift, np.uint8)
        found[count] = _Mean(weight, requantise(ctx, None, m, s, relu=op.relu))
    return found


class TiledAvgPool(TiledDepthwise):
    """Average pooling of the part of a plane in which all windows count equally many
    elements: a depthwise convolution with one constant weight."""

    def __init__(self, ctx: Context, op: AvgOp, mean: _Mean) -> None:
        sliding = Sliding(op.kernel, op.stride, op.pads)
        super().__init__(ctx, op, sliding, mean.finish, mean.weight)
        self.area = (Range(0, self.output[2]), Range(0, self.output[3]))

    def layer_signature(self) -> Hashable:
        return (self.sliding, self.area)

    def restrict(self, h: Range, w: Range) -> TiledAvgPool:
        """Only this part of the output plane."""
        self.area = (h, w)
        return self

    def ranges(self, dim: str, size: int) -> list[Range]:
        if dim not in "hw":
            return super().ranges(dim, size)
        whole = self.area["hw".index(dim)]
        return [Range(whole.start + r.start, r.size) for r in split(whole.size, size)]


def runs(counts: list[int]) -> list[tuple[Range, int]]:
    """Neighbouring outputs with equal counts, joined."""
    found: list[tuple[Range, int]] = []
    for index, count in enumerate(counts):
        if found and found[-1][1] == count:
            found[-1] = (Range(found[-1][0].start, found[-1][0].size + 1), count)
        else:
            found.append((Range(index, 1), count))
    return found


def window_counts(op: AvgOp, dim: int, length: int, outputs: int) -> list[int]:
    """Per output index along h (0) or w (1): how many elements of the window count."""
    before, after = op.pads[dim], op.pads[dim + 2]
    if op.count_include_pad:
        low, high = -before, length + after - op.ceil_pads[dim]
    else:
        low, high = 0, length
    starts = [i * op.stride[dim] - before for i in range(outputs)]
    return [min(s + op.kernel[dim], high) - max(s, low) for s in starts]


@lowers(Int8AvgPool2d, Bf16AvgPool2d)
def lower_avg_pool(op: Op, ctx: Context) -> None:
    """Average pooling, one part of the plane after the other by the number of elements
    that count in a window."""
    assert isinstance(op, AvgOp)
    means = _means(op, ctx)
    _, _, h, w = ctx.view(op.inputs[0]).shape
    _, _, oh, ow = op.type.shape
    rows = runs(window_counts(op, 0, h, oh))
    columns = runs(window_counts(op, 1, w, ow))
    for row, row_count in rows:
        for column, column_count in columns:
            run(TiledAvgPool(ctx, op, means[row_count * column_count]).restrict(row, column))


@tiles(Int8AvgPool2d, Bf16AvgPool2d)
def fusable_avg_pool(op: Op, ctx: Context) -> TiledOp | None:
    """Average pooling in which all windows count equally many elements."""
    assert isinstance(op, AvgOp)
    _, _, h, w = ctx.view(op.inputs[0]).shape
    _, _, oh, ow = op.type.shape
    counts = {a * b for a in window_counts(op, 0, h, oh) for b in window_counts(op, 1, w, ow)}
    if len(counts) > 1:
        return None
    return TiledAvgPool(ctx, op, _means(op, ctx)[counts.pop()])
