"""Layers that only move elements or give them another shape."""

from __future__ import annotations

import math
from collections.abc import Sequence

from cvi import ops
from cvi.ir import Shape
from cvi_frontend_caffe.layer import Layer
from cvi_frontend_caffe.registry import converts
from cvi_frontend_caffe.values import Value


@converts("Dropout", "SpatialDropout")
def dropout(layer: Layer) -> Value:
    """Nothing at inference."""
    return layer.bottom()


@converts("Split")
def split(layer: Layer) -> Sequence[Value]:
    """Every top is the bottom."""
    return [layer.bottom()] * len(layer.tops)


@converts("Concat")
def concat(layer: Layer) -> Value:
    """Blobs joined along an axis."""
    params = layer.params("concat_param")
    operands = layer.bottoms()
    axis = params.integer("concat_dim" if params.has("concat_dim") else "axis")
    axis = layer.axis(axis, operands[0].rank)
    if len(operands) == 1:
        return operands[0]
    return layer.emit(ops.Concat(name=layer.top_name(0), axis=axis), *operands)


@converts("Slice")
def slice_(layer: Layer) -> Sequence[Value]:
    """Parts along an axis, cut at the slice points or equally large."""
    params, x = layer.params("slice_param"), layer.bottom()
    axis = layer.axis(params.integer("slice_dim" if params.has("slice_dim") else "axis"), x.rank)
    points = params.integers("slice_point")
    length, count = x.shape[axis], len(layer.tops)
    if not points:
        if count < 1 or length % count:
            layer.broken(f"cannot cut {length} into {count} equal parts")
        points = tuple(range(length // count, length, length // count))
    ends = (*points, length)
    if len(ends) != count or list(ends) != sorted(set(ends)) or (not points and count > 1):
        layer.broken(f"cuts {length} at {points} into {count} tops")
    return [
        _part(layer, layer.top_name(i), x, axis, start, end)
        for i, (start, end) in enumerate(zip((0, *points), ends, strict=True))
    ]


def _part(layer: Layer, name: str, x: Value, axis: int, start: int, end: int) -> Value:
    starts = [0] * x.rank
    sizes = list(x.shape)
    starts[axis], sizes[axis] = start, end - start
    return cut(layer, name, x, starts, sizes)


def cut(layer: Layer, name: str, x: Value, starts: Sequence[int], sizes: Sequence[int]) -> Value:
    """A box out of a blob."""
    op = ops.Slice(name=name, starts=tuple(starts), sizes=tuple(sizes), steps=(1,) * x.rank)
    return layer.emit(op, x)


@converts("Crop")
def crop(layer: Layer) -> Value:
    """As large as the second bottom from `axis` on, at the offsets."""
    params = layer.params("crop_param")
    x, like = layer.bottoms(2, 2)
    axis = layer.axis(params.integer("axis"), x.rank)
    offsets = params.integers("offset")
    count = x.rank - axis
    if like.rank != x.rank or len(offsets) not in (0, 1, count):
        layer.broken(f"has {len(offsets)} offsets for {count} dimensions")
    offsets = offsets * count if len(offsets) == 1 else offsets or (0,) * count
    sizes = (*x.shape[:axis], *like.shape[axis:])
    starts = (*(0,) * axis, *offsets)
    if any(a + b > c for a, b, c in zip(starts, sizes, x.shape, strict=True)):
        layer.broken(f"cuts {sizes} at {starts} out of {x.shape}")
    return cut(layer, layer.top_name(0), x, starts, sizes)


@converts("Flatten")
def flatten(layer: Layer) -> Value:
    """The dimensions from `axis` to `end_axis` as one."""
    params, x = layer.params("flatten_param"), layer.bottom()
    first = layer.axis(params.integer("axis"), x.rank)
    last = layer.axis(params.integer("end_axis"), x.rank)
    if first > last:
        layer.broken(f"flattens the axes {first} to {last}")
    middle = math.prod(x.shape[first : last + 1])
    return _reshaped(layer, x, (*x.shape[:first], middle, *x.shape[last + 1 :]))


@converts("Reshape")
def reshape(layer: Layer) -> Value:
    """0 copies a dimension, -1 takes what is left; `axis` and `num_axes` limit the change."""
    params, x = layer.params("reshape_param"), layer.bottom()
    axis, count = params.integer("axis"), params.integer("num_axes")
    start = axis if axis >= 0 else x.rank + axis + 1
    end = x.rank if count == -1 else start + count
    if not 0 <= start <= end <= x.rank or count < -1:
        layer.broken(f"replaces {count} axes from {axis} on of {x.rank}")
    wanted = _copied(layer, x, params.dims("shape"), start)
    around = (*x.shape[:start], *x.shape[end:])
    return _reshaped(layer, x, _completed(layer, x, wanted, start, around, end))


def _copied(layer: Layer, x: Value, dims: Sequence[int], start: int) -> list[int]:
    """The wanted dimensions with 0 replaced, and the batch if it was changed."""
    wanted = []
    for i, d in enumerate(dims):
        if d == 0 and start + i >= x.rank:
            layer.broken(f"copies dimension {start + i} of a blob that has {x.rank}")
        wanted.append(x.shape[start + i] if d == 0 else d)
    given = layer.batch
    fits = -1 not in wanted[1:] and math.prod(wanted) == x.elements
    if given is not None and start == 0 and wanted and wanted[0] == given[0] and not fits:
        wanted[0] = given[1]
    return wanted


def _completed(
    layer: Layer, x: Value, wanted: Sequence[int], start: int, around: Shape, end: int
) -> Shape:
    known = math.prod(d for d in wanted if d != -1)
    rest = math.prod(x.shape[start:end])
    if list(wanted).count(-1) > 1 or any(d < -1 for d in wanted) or not known:
        layer.broken(f"has the impossible shape {tuple(wanted)}")
    if rest % known or (-1 not in wanted and rest != known):
        layer.broken(f"cannot give {x.shape} the shape {tuple(wanted)}")
    return (*around[:start], *(rest // known if d == -1 else d for d in wanted), *around[start:])


def _reshaped(layer: Layer, x: Value, shape: Shape) -> Value:
    return layer.emit(ops.Reshape(name=layer.top_name(0), shape=tuple(shape)), x)


@converts("Squeeze")
def squeeze(layer: Layer) -> Value:
    """Dimensions of size 1 left out: those named, or all."""
    params, x = layer.params("squeeze_param"), layer.bottom()
    axes = [layer.axis(a, x.rank) for a in params.integers("axis")]
    axes = axes or [i for i, d in enumerate(x.shape) if d == 1]
    if any(x.shape[a] != 1 for a in axes):
        layer.broken(f"leaves out a dimension of {x.shape} that is not 1")
    return _reshaped(layer, x, tuple(d for i, d in enumerate(x.shape) if i not in axes))


@converts("Permute")
def permute(layer: Layer) -> Value:
    """Dimensions in another order; those not named follow."""
    params, x = layer.params("permute_param"), layer.bottom()
    order = params.integers("order")
    order = (*order, *(i for i in range(x.rank) if i not in order))
    if sorted(order) != list(range(x.rank)):
        layer.broken(f"the order {order} does not fit a blob of {x.rank} dimensions")
    return layer.emit(ops.Permute(name=layer.top_name(0), order=order), x)


@converts("Tile")
def tile(layer: Layer) -> Value:
    """The blob repeated along an axis."""
    params, x = layer.params("tile_param"), layer.bottom()
    axis, tiles = layer.axis(params.integer("axis"), x.rank), params.integer("tiles")
    if tiles < 1:
        layer.broken(f"repeats {tiles} times")
    repeats = tuple(tiles if i == axis else 1 for i in range(x.rank))
    return layer.emit(ops.Tile(name=layer.top_name(0), repeats=repeats), x)


@converts("Reverse")
def reverse(layer: Layer) -> Value:
    """The blob with an axis in the opposite order."""
    x = layer.bottom()
    axis = layer.axis(layer.params("reverse_param").integer("axis"), x.rank)
    return layer.emit(ops.Reverse(name=layer.top_name(0), axis=axis), x)


@converts("Padding")
def padding(layer: Layer) -> Value:
    """Constant borders around [n, c, h, w]."""
    params, x = layer.params("padding_param"), layer.bottom()
    params.choice("pad_method")
    if x.rank != 4:
        layer.broken(f"pads a blob of {x.rank} dimensions")
    top, left, bottom, right = (params.integer(f"pad_{side}") for side in "tlbr")
    op = ops.Pad(
        name=layer.top_name(0),
        before=(0, 0, top, left),
        after=(0, 0, bottom, right),
        value=float(params.integer("pad_value")),
    )
    return layer.emit(op, x)
