"""scale * x + shift with the same two numbers for the whole blob, or with constants."""

from __future__ import annotations

import numpy as np

from cvi import ops
from cvi.ir import Shape
from cvi_frontend_caffe.layer import Layer
from cvi_frontend_caffe.values import Value


def scaled(layer: Layer, x: Value, name: str, scale: float, shift: float) -> Value:
    """scale * x + shift."""
    channels = (x.channels,)
    factors = np.full(channels, scale, np.float32)
    if not shift:
        return layer.emit(ops.Scale(name=name), x, factors)
    return layer.emit(ops.Scale(name=name), x, factors, np.full(channels, shift, np.float32))


def aligned(layer: Layer, shape: Shape, axis: int, rank: int) -> Shape:
    """`shape` with ones around it, so that it starts at `axis` of a blob of `rank` dims."""
    axis = layer.axis(axis, rank)
    if axis + len(shape) > rank:
        layer.broken(f"aligns {len(shape)} dimensions with {rank} from axis {axis} on")
    return (*(1,) * axis, *shape, *(1,) * (rank - axis - len(shape)))


def covered(layer: Layer, x: Value, axis: int, count: int) -> Shape:
    """The dimensions of x from `axis` on, `count` of them (-1: all)."""
    axis = layer.axis(axis, x.rank)
    end = x.rank if count == -1 else axis + count
    if count < -1 or end > x.rank:
        layer.broken(f"covers {count} axes from {axis} on of {x.rank}")
    return x.shape[axis:end]


def per_channel(layer: Layer, x: Value, axis: int, count: int) -> bool:
    """Whether the covered dimensions are just the channels."""
    return x.rank > 1 and layer.axis(axis, x.rank) == 1 and count == 1
