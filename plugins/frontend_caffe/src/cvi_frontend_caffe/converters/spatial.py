"""Channels to pixels and back, and groups of channels shuffled."""

from __future__ import annotations

from cvi import ops
from cvi_frontend_caffe.converters.window import two_dimensional
from cvi_frontend_caffe.layer import Layer
from cvi_frontend_caffe.registry import converts
from cvi_frontend_caffe.values import Value


@converts("ShuffleChannel")
def shuffle_channel(layer: Layer) -> Value:
    """Channel g * (c / group) + i becomes i * group + g."""
    x = layer.bottom()
    group = layer.params("shuffle_channel_param").integer("group")
    if x.rank < 2 or group < 1 or x.channels % group:
        layer.broken(f"shuffles {x.channels} channels in {group} groups")
    n, c, *rest = x.shape
    split = ops.Reshape(name=layer.helper("split"), shape=(n, group, c // group, *rest))
    order = (0, 2, 1, *range(3, x.rank + 1))
    turned = ops.Permute(name=layer.helper("turned"), order=order)
    y = layer.emit(turned, layer.emit(split, x))
    return layer.emit(ops.Reshape(name=layer.top_name(0), shape=x.shape), y)


@converts("Reorg")
def reorg(layer: Layer) -> Value:
    """Darknet's: [n, c, h, w] to [n, c*s*s, h/s, w/s] as its `reorg` orders them.

    It reads the blob as c/s² channels of h*s x w*s pixels, takes every s-th of them for
    each of the s² places, and cuts the sequence into blobs of the new shape.
    """
    params, x = layer.params("reorg_param"), two_dimensional(layer, layer.bottom())
    s = params.integer("stride") if params.has("stride") else 2
    if params.flag("reverse"):
        layer.refuse("works in reverse")
    n, c, h, w = x.shape
    if s < 1 or c % (s * s) or h % s or w % s:
        layer.broken(f"reorganises {x.shape} with a stride of {s}")
    split = ops.Reshape(name=layer.helper("split"), shape=(n, c // (s * s), h, s, w, s))
    turned = ops.Permute(name=layer.helper("turned"), order=(0, 3, 5, 1, 2, 4))
    y = layer.emit(turned, layer.emit(split, x))
    shape = (n, c * s * s, h // s, w // s)
    return layer.emit(ops.Reshape(name=layer.top_name(0), shape=shape), y)
