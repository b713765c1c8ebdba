"""Ops that only move elements, as strided copies between views in DRAM.

They serve every element type: an element is so many bytes. Where memory assignment made
a result part of its operand or the other way round, there is nothing to copy.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

from cvi.ir import DType, Op, Shape, TensorType
from cvi.ops import Concat, Pad, Permute, PixelShuffle, Reshape, Reverse, Slice, Tile, Upsample
from cvi.ops.movement import stored_value
from cvi_tpu.codegen.context import Context, Lowering, View, lowers
from cvi_tpu.codegen.kernels.movement_copy import Dim, copy, copy_view, fill, place
from cvi_tpu.codegen.kernels.reverse import lower_reverse


def lower_bytes(op: Op, ctx: Context) -> None:
    """Lower a movement op of any element type by strided copies."""
    for kind, lowering in _STRIDED.items():
        if isinstance(op, kind):
            lowering(op, ctx)
            return
    raise TypeError(f"{op.kind} is no movement op")


@lowers(Reshape)
def lower_reshape(op: Op, ctx: Context) -> None:
    """Nothing for an alias; else a copy, of which one side is dense."""
    source, target = ctx.view(op.inputs[0]), ctx.view(op.name)
    if (source.region, source.address) == (target.region, target.address):
        return
    if target.is_dense:
        copy_view(ctx, source, target.reshaped(source.shape))
    else:
        copy_view(ctx, source.reshaped(target.shape), target)


@lowers(Permute)
def lower_permute(op: Op, ctx: Context) -> None:
    """The source read in the order of the target's dims."""
    assert isinstance(op, Permute)
    source = ctx.view(op.inputs[0])
    turned = replace(
        source,
        shape=tuple(source.shape[i] for i in op.order),
        strides=tuple(source.strides[i] for i in op.order),
    )
    copy_view(ctx, turned, ctx.view(op.name))


@lowers(PixelShuffle)
def lower_pixel_shuffle(op: Op, ctx: Context) -> None:
    """A permutation of (n, c, dy, dx, h, w) written to (n, c, h, dy, w, dx)."""
    assert isinstance(op, PixelShuffle)
    source, target = ctx.view(op.inputs[0]), ctx.view(op.name)
    f = op.factor
    n, c, _, _ = target.shape
    _, _, h, w = source.shape
    sn, sc, sh, sw = source.strides
    tn, tc, th, tw = target.strides
    if op.mode == "CRD":
        step_c, step_dy, step_dx = sc * f * f, sc * f, sc
    else:
        step_c, step_dy, step_dx = sc, sc * c * f, sc * c
    dims = [
        Dim(n, sn, tn),
        Dim(c, step_c, tc),
        Dim(f, step_dy, th),
        Dim(f, step_dx, tw),
        Dim(h, sh, th * f),
        Dim(w, sw, tw * f),
    ]
    copy(ctx, dims, place(source), place(target), source.element_bytes)


@lowers(Concat)
def lower_concat(op: Op, ctx: Context) -> None:
    """Copies of the operands that were not computed in place."""
    assert isinstance(op, Concat)
    target, start = ctx.view(op.name), 0
    for name in op.inputs:
        source = ctx.view(name)
        window = concat_window(target, op.axis, start, source.shape)
        if source != window:
            copy_view(ctx, source, window)
        start += source.shape[op.axis]


def concat_window(target: View, axis: int, start: int, shape: Shape) -> View:
    """The part of a concat's result that an operand of `shape` fills."""
    starts = tuple(start if d == axis else 0 for d in range(len(shape)))
    return target.window(starts, shape)


@lowers(Slice)
def lower_slice(op: Op, ctx: Context) -> None:
    """Nothing for an alias; else a copy of every step-th element."""
    assert isinstance(op, Slice)
    window = slice_window(ctx.view(op.inputs[0]), op)
    target = ctx.view(op.name)
    if window != target:
        copy_view(ctx, window, target)


def slice_window(source: View, op: Slice) -> View:
    """The elements of a view that a Slice takes."""
    window = source.window(op.starts, op.sizes)
    strides = tuple(s * step for s, step in zip(source.strides, op.steps, strict=True))
    return replace(window, strides=strides)


@lowers(Tile)
def lower_tile(op: Op, ctx: Context) -> None:
    """Every dim twice: the repeats read with stride 0, and the elements."""
    assert isinstance(op, Tile)
    source, target = ctx.view(op.inputs[0]), ctx.view(op.name)
    dims = []
    for size, repeats, s, t in zip(
        source.shape, op.repeats, source.strides, target.strides, strict=True
    ):
        dims += [Dim(repeats, 0, t * size), Dim(size, s, t)]
    copy(ctx, dims, place(source), place(target), source.element_bytes)


def lower_upsample(op: Op, ctx: Context) -> None:
    """Rows and columns repeated by reading with stride 0."""
    assert isinstance(op, Upsample)
    source, target = ctx.view(op.inputs[0]), ctx.view(op.name)
    n, c, h, w = source.shape
    fy, fx = op.factors
    sn, sc, sh, sw = source.strides
    tn, tc, th, tw = target.strides
    dims = [
        Dim(n, sn, tn),
        Dim(c, sc, tc),
        Dim(h, sh, th * fy),
        Dim(fy, 0, th),
        Dim(w, sw, tw * fx),
        Dim(fx, 0, tw),
    ]
    copy(ctx, dims, place(source), place(target), source.element_bytes)


# -- padding -------------------------------------------------------------------


@lowers(Pad)
def lower_pad(op: Op, ctx: Context) -> None:
    """The operand in the middle, then the border: filled or copied from the operand."""
    assert isinstance(op, Pad)
    source, target = ctx.view(op.inputs[0]), ctx.view(op.name)
    if op.mode == "constant":
        element = stored_bytes(op.value, op.type)
        for starts, sizes in border(source.shape, op.before, op.after):
            fill(ctx, target.window(starts, sizes), element)
        copy_view(ctx, source, target.window(op.before, source.shape))
        return
    for parts in product(*(_runs(op, dim, size) for dim, size in enumerate(source.shape))):
        starts, sizes, origins, steps = zip(*parts, strict=True)
        taken = source.window(origins, sizes)
        strides = tuple(s * step for s, step in zip(source.strides, steps, strict=True))
        copy_view(ctx, replace(taken, strides=strides), target.window(starts, sizes))


def stored_bytes(value: float, type: TensorType) -> bytes:
    """One element of a tensor as it lies in memory."""
    stored = stored_value(value, type)
    return bytes(stored.astype(_little(type.dtype)).tobytes())


def _little(dtype: DType) -> str:
    return str(dtype.numpy.newbyteorder("<").str)


def border(shape: Shape, before: Shape, after: Shape) -> Iterator[tuple[Shape, Shape]]:
    """Boxes (starts, sizes) of the padded tensor that together are all but the middle: per
    dim the part before and after, over the whole of later dims and the middle of earlier."""
    starts = [0] * len(shape)
    sizes = [b + n + a for b, n, a in zip(before, shape, after, strict=True)]
    for dim, size in enumerate(shape):
        for start, count in ((0, before[dim]), (before[dim] + size, after[dim])):
            if count:
                yield (
                    (*starts[:dim], start, *starts[dim + 1 :]),
                    (*sizes[:dim], count, *sizes[dim + 1 :]),
                )
        starts[dim], sizes[dim] = before[dim], size


def _runs(op: Pad, dim: int, size: int) -> list[tuple[int, int, int, int]]:
    """(start, count, origin, step) runs of one dim of the result: `count` elements from
    `start` on are those of the operand from `origin` on, with a step of 1 or 0."""
    before, after = op.before[dim], op.after[dim]
    runs = [(before, size, 0, 1)]
    if op.mode == "edge":
        runs += [(0, before, 0, 0)] if before else []
        runs += [(before + size, after, size - 1, 0)] if after else []
        return runs
    runs += [(before - i, 1, i, 1) for i in range(1, before + 1)]
    runs += [(before + size + i, 1, size - 2 - i, 1) for i in range(after)]
    return runs


_STRIDED: dict[type[Op], Lowering] = {
    Reshape: lower_reshape,
    Permute: lower_permute,
    PixelShuffle: lower_pixel_shuffle,
    Concat: lower_concat,
    Slice: lower_slice,
    Reverse: lower_reverse,
    Tile: lower_tile,
    Upsample: lower_upsample,
    Pad: lower_pad,
}
