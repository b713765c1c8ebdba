"""Arithmetic and table look-ups, element by element."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from math import prod

from cvi.ir import Op, Shape
from cvi_tpu.codegen.context import Context, View, as_bytes, lowers
from cvi_tpu.codegen.planner import Load, Part, Tile, TiledOp, run, tile_bytes, tiles
from cvi_tpu.codegen.tiling import Box, Range
from cvi_tpu.codegen.tpu import OnTpu
from cvi_tpu.isa.instructions import Arith, ArithOp, Const, Instruction, Lut, Tiu
from cvi_tpu.isa.operands import Dram, Local, Shape4
from cvi_tpu.quantized.ops import (
    Int8Add,
    Int8Clip,
    Int8Lut,
    Int8Max,
    Int8Min,
    Int8Mul,
    Int8Requant,
)

TABLE_BYTES = 256
IMAGE_DIMS = 4


class TiledEltwise(TiledOp):
    """Base: operands that broadcast to the result.

    A size-1 dimension of an operand is repeated: over channels by a load with stride 0,
    over n, h and w by an operand with stride 0 in local memory (FACTS_TPU 3.2).
    """

    orders = ("nchwk",)
    strict = False
    repeats_channels = True

    def __init__(self, ctx: Context, op: Op, operands: Sequence[View], target: View) -> None:
        super().__init__(ctx, op, operands, target)
        self.op = op

    @classmethod
    def activations(cls, op: Op) -> tuple[str, ...]:
        """The inputs of an op that are tensors of the network, all of them by default."""
        return op.inputs

    def layer_signature(self) -> Hashable:
        return self.op.kind

    def parts(self, tile: Tile) -> list[Part]:
        return [self._part(view, tile.box) for view in self.sources]

    def _part(self, view: View, box: Box) -> Part:
        ranges = (box.n, box.c, box.h, box.w)
        own = [r if dim > 1 else Range(0, 1) for r, dim in zip(ranges, view.shape, strict=True)]
        moving = "".join(d for d, dim in zip("nchw", view.shape, strict=True) if dim > 1)
        return Part(Box(*own), moving + "c")

    def load(self, index: int, part: Part, tile: Tile) -> Load:
        """A single channel that stands for all is put into every lane by a repeating load."""
        load = super().load(index, part, tile)
        n, c, h, w = part.box.shape
        count = tile.box.c.size
        if c == count:
            return load
        shape = (n, count, h, w)
        strides = (load.source.strides[0], 0, load.source.strides[2])
        source = replace(load.source, shape=shape, strides=strides)
        target = self.local(0, shape, load.target.element_bytes)
        return Load(load.slot, (load.key, count), source, target, load.depends)

    def emit(
        self, tile: Tile, result: Local, operands: Sequence[Local], at: Mapping[str, int]
    ) -> Sequence[Instruction]:
        return self.arithmetic(result, [repeated(x, result.shape) for x in operands], at)

    def arithmetic(
        self, result: Local, operands: Sequence[Local], at: Mapping[str, int]
    ) -> Sequence[Instruction]:
        """The instructions on operands of one shape."""
        raise NotImplementedError

    def cycles(self, tile: Tile) -> float:
        rounds = self.rounds(tile.box)
        return 40 + rounds * 8.0 * max(1, len(self.sources))


def repeated(operand: Local, shape: Shape4) -> Local:
    """The operand with the result's shape: size-1 dimensions repeat by a stride of 0."""
    strides = tuple(
        0 if own == 1 and size > 1 else stride
        for own, size, stride in zip(operand.shape, shape, operand.strides, strict=True)
    )
    n, c, h, w = strides
    return replace(operand, shape=shape, strides=(n, c, h, w))


def low_bytes(tensor: Local) -> Local:
    """The low bytes of BF16 numbers."""
    return replace(tensor, bf16=False)


def high_bytes(tensor: Local) -> Local:
    """The high bytes of BF16 numbers."""
    return replace(tensor, bf16=False, address=tensor.address + 1)


class TiledAdd(TiledEltwise):
    """Weighted sum with a 16-bit accumulator whose low plane becomes the result. What is added
    to all elements follows the first product."""

    def planes(self, cut_k: bool) -> int:
        del cut_k
        return 2

    def arithmetic(
        self, result: Local, operands: Sequence[Local], at: Mapping[str, int]
    ) -> list[Tiu]:
        op = self.op
        assert isinstance(op, Int8Add)
        plane = tile_bytes(result)
        wide = Local(result.address, result.shape, result.strides, plane=plane)
        layer = self.layer
        work: list[Tiu] = [
            Arith(op=ArithOp.MUL, result=wide, left=operands[0], right=Const(op.multipliers[0]),
                  layer=layer)
        ]  # fmt: skip
        if op.bias:
            added = Const(op.bias)
            work.append(Arith(op=ArithOp.ADD, result=wide, left=wide, right=added, layer=layer))
        last = len(operands) - 1
        for i in range(1, len(operands)):
            work.append(
                Arith(
                    op=ArithOp.MAC,
                    result=wide,
                    left=operands[i],
                    right=Const(op.multipliers[i]),
                    narrow=i == last,
                    shift=op.shift if i == last else 0,
                    relu=op.relu and i == last,
                    layer=layer,
                )
            )
        return work

    def cycles(self, tile: Tile) -> float:
        assert isinstance(self.op, Int8Add)
        rounds = self.rounds(tile.box)
        return super().cycles(tile) + (40 + rounds * 8.0 if self.op.bias else 0.0)


class TiledBinary(TiledEltwise):
    """Product, maximum or minimum of two operands."""

    def arithmetic(
        self, result: Local, operands: Sequence[Local], at: Mapping[str, int]
    ) -> list[Tiu]:
        op, layer = self.op, self.layer
        left, right = operands
        if isinstance(op, Int8Mul):
            return [
                Arith(op=ArithOp.MUL, result=result, left=left, right=right, layer=layer,
                      multiplier=op.multiplier, shift=op.shift, relu=op.relu)
            ]  # fmt: skip
        kind = ArithOp.MAX if isinstance(op, Int8Max) else ArithOp.MIN
        return [Arith(op=kind, result=result, left=left, right=right, layer=layer)]


class TiledUnary(TiledEltwise):
    """Change of scale and clamping."""

    def arithmetic(
        self, result: Local, operands: Sequence[Local], at: Mapping[str, int]
    ) -> list[Tiu]:
        op, layer, source = self.op, self.layer, operands[0]
        if isinstance(op, Int8Requant):
            return [
                Arith(op=ArithOp.MUL, result=result, left=source, right=Const(op.weight),
                      multiplier=op.multiplier, shift=op.shift, relu=op.relu, layer=layer)
            ]  # fmt: skip
        assert isinstance(op, Int8Clip)
        work: list[Tiu] = []
        for kind, bound, neutral in (
            (ArithOp.MAX, op.minimum, -128),
            (ArithOp.MIN, op.maximum, 127),
        ):
            if bound != neutral or (kind is ArithOp.MIN and not work):
                work.append(
                    Arith(op=kind, result=result, left=source, right=Const(bound), layer=layer)
                )
                source = result
        return work


class TiledLut(TiledEltwise):
    """Table look-up; the table is stored once and loaded into every lane."""

    def __init__(self, ctx: Context, op: Op, operands: Sequence[View], target: View) -> None:
        super().__init__(ctx, op, operands, target)
        self.table = ctx.weight(as_bytes(ctx.constant(op.inputs[1])))

    @classmethod
    def activations(cls, op: Op) -> tuple[str, ...]:
        return op.inputs[:1]

    strict = True

    def constants(self, tile: Tile) -> list[Load]:
        del tile
        lanes = self.spec.lanes
        shape = (1, lanes, 16, 16)
        source = Dram(self.table.region, self.table.address, shape, (TABLE_BYTES, 0, 16))
        return [Load("@table", 0, source, self.local(0, shape), "")]

    def arithmetic(
        self, result: Local, operands: Sequence[Local], at: Mapping[str, int]
    ) -> list[Tiu]:
        return [Lut(result=result, input=operands[0], table=at["@table"], layer=self.layer)]

    def cycles(self, tile: Tile) -> float:
        rounds = self.rounds(tile.box)
        return 38 + rounds * 19.0


KINDS: dict[type[Op], type[TiledEltwise]] = {
    Int8Add: TiledAdd,
    Int8Mul: TiledBinary,
    Int8Max: TiledBinary,
    Int8Min: TiledBinary,
    Int8Requant: TiledUnary,
    Int8Clip: TiledUnary,
    Int8Lut: TiledLut,
}


def register(kinds: Mapping[type[Op], type[TiledEltwise]]) -> None:
    """Register these kernels of element-wise ops."""
    for kind, kernel in kinds.items():
        lowers(kind)(partial(_lower, kernel))
        tiles(kind)(partial(_tiled, kernel))


def elementwise(kernel: type[TiledEltwise]) -> OnTpu:
    """The kernel of an element-wise op of a plugin: `kernel` computes its tiles."""
    return OnTpu(partial(_lower, kernel), partial(_tiled, kernel))


def _views(kernel: type[TiledEltwise], op: Op, ctx: Context) -> tuple[list[View], View]:
    return [ctx.view(name) for name in kernel.activations(op)], ctx.view(op.name)


def _tiled(kernel: type[TiledEltwise], op: Op, ctx: Context) -> TiledOp | None:
    """The op on images as they are, None for other ranks."""
    views, target = _views(kernel, op, ctx)
    if any(len(v.shape) != IMAGE_DIMS for v in [*views, target]):
        return None
    return kernel(ctx, op, views, target)


def _lower(kernel: type[TiledEltwise], op: Op, ctx: Context) -> None:
    """Dense operands of one shape are spread evenly over all lanes."""
    views, target = _views(kernel, op, ctx)
    if all(v.is_dense and v.shape == target.shape for v in [*views, target]):
        for start, shape in spread(prod(target.shape), ctx.spec.lanes):
            parts = [flat(v, start, shape) for v in views]
            run(kernel(ctx, op, parts, flat(target, start, shape)))
        return
    for image in in_four_dims([*views, target]):
        run(kernel(ctx, op, image[:-1], image[-1]))


register(KINDS)


def spread(elements: int, lanes: int) -> list[tuple[int, Shape4]]:
    """A flat run of elements as (start, shape) pieces: an even share per lane, then the rest."""
    share = elements // lanes
    pieces: list[tuple[int, Shape4]] = []
    if share:
        pieces.append((0, (1, lanes, 1, share)))
    if elements % lanes:
        pieces.append((share * lanes, (1, elements % lanes, 1, 1)))
    return pieces


def flat(view: View, start: int, shape: Shape4) -> View:
    """`prod(shape)` elements of a dense view from `start` on."""
    address = view.address + start * view.element_bytes
    return View.dense(view.region, address, shape, view.element_bytes)


def in_four_dims(views: Sequence[View]) -> Iterator[list[View]]:
    """Operands and result, of one rank, as images: missing dims are added at the end.

    Of more than four dims neighbours are merged which every operand has, or which the same
    operands broadcast; if more than four are left, there is one image for each place in
    the leading ones. Views of more than four dims are dense.
    """
    if len(views[0].shape) <= IMAGE_DIMS:
        yield [_padded(v) for v in views]
        return
    groups = _alike([v.shape for v in views])
    merged = [v.reshaped(tuple(prod(v.shape[g.start : g.stop]) for g in groups)) for v in views]
    lead = max(len(groups) - IMAGE_DIMS, 0)
    sizes = [max(dims) for dims in zip(*(v.shape for v in merged), strict=True)]
    for at in product(*map(range, sizes[:lead])):
        yield [_image(v, at) for v in merged]


def _alike(shapes: Sequence[Shape]) -> list[range]:
    """Neighbouring dims that can be one: the same operands broadcast them."""
    groups: list[range] = []
    last: tuple[bool, ...] | None = None
    for axis, dims in enumerate(zip(*shapes, strict=True)):
        broadcast = tuple(dim == 1 for dim in dims)
        if groups and (all(broadcast) or last is None or broadcast == last):
            groups[-1] = range(groups[-1].start, axis + 1)
        else:
            groups.append(range(axis, axis + 1))
        last = last if all(broadcast) else broadcast
    return groups


def _image(view: View, at: Sequence[int]) -> View:
    """The part of a view at a place in its leading dims, where a single one is for all."""
    starts = [i if dim > 1 else 0 for i, dim in zip(at, view.shape, strict=False)]
    rest = view.shape[len(at) :]
    part = view.window((*starts, *(0,) * len(rest)), (*(1,) * len(at), *rest))
    ones = (1,) * (IMAGE_DIMS - len(rest))
    return View.dense(view.region, part.address, (*ones, *rest), view.element_bytes)


def _padded(view: View) -> View:
    more = IMAGE_DIMS - len(view.shape)
    shape: Shape = (*view.shape, *(1,) * more)
    strides = (*view.strides, *(view.element_bytes,) * more)
    return View(view.region, view.address, shape, strides, view.element_bytes)
