"""Enlarging and shrinking of feature maps."""

from __future__ import annotations

from cvi import ops
from cvi.ops.windows import Pair
from cvi_frontend_caffe.converters.shape import cut
from cvi_frontend_caffe.converters.window import two_dimensional
from cvi_frontend_caffe.layer import Layer
from cvi_frontend_caffe.params import Params
from cvi_frontend_caffe.registry import converts
from cvi_frontend_caffe.values import Value


@converts("Interp")
def interp(layer: Layer) -> Value:
    """Bilinear, the corner pixels kept in the corners; negative pads cut borders off."""
    params, x = layer.params("interp_param"), two_dimensional(layer, layer.bottom())
    begin, end = params.integer("pad_beg"), params.integer("pad_end")
    if begin > 0 or end > 0:
        layer.broken(f"pads by {max(begin, end)}; Caffe only allows to cut off")
    if begin or end:
        n, c, h, w = x.shape
        sizes = (n, c, h + begin + end, w + begin + end)
        x = cut(layer, layer.helper("cut"), x, (0, 0, -begin, -begin), sizes)
    size = _interp_size(layer, params, (x.shape[2], x.shape[3]))
    op = ops.Resize(
        name=layer.top_name(0),
        size=size,
        scales=(size[0] / x.shape[2], size[1] / x.shape[3]),
        mode="linear",
        coordinates="align_corners",
    )
    return layer.emit(op, x)


def _interp_size(layer: Layer, params: Params, size: Pair) -> Pair:
    """Shrinking first, then zooming, or the size itself (also that of a second bottom)."""
    shrink, zoom = params.integer("shrink_factor"), params.integer("zoom_factor")
    height, width = params.integer("height"), params.integer("width")
    if layer.bottom_count > 1:
        like = two_dimensional(layer, layer.bottom(1))
        return like.shape[2], like.shape[3]
    if min(shrink, zoom) < 1 or min(height, width) < 0:
        layer.broken("has a factor or size that is not positive")
    if params.has("shrink_factor") or params.has("zoom_factor"):
        h, w = ((d - 1) // shrink + 1 for d in size)
        return h + (h - 1) * (zoom - 1), w + (w - 1) * (zoom - 1)
    if not height or not width:
        layer.broken("has neither a size nor a factor")
    return height, width


@converts("Upsample")
def upsample(layer: Layer) -> Value:
    """Every pixel repeated; with the mask of a pool, put where its maximum was."""
    params, x = layer.params("upsample_param"), two_dimensional(layer, layer.bottom())
    factors = _factors(layer, params, x)
    mask = layer.positions(1)
    if layer.bottom_count > 1 and mask is None:
        layer.refuse("needs the mask of a pool as its second bottom")
    size = _upsampled_size(params, x, factors)
    if mask is not None:
        return _unpooled(layer, x, mask, factors, size)
    plain = (x.shape[2] * factors[0], x.shape[3] * factors[1])
    name = layer.top_name(0) if size == plain else layer.helper("full")
    y = layer.emit(ops.Upsample(name=name, factors=factors), x)
    return y if size == plain else _cropped(layer, layer.top_name(0), y, size)


def _factors(layer: Layer, params: Params, x: Value) -> Pair:
    if params.has("scale_h") or params.has("scale_w"):
        factors = params.integer("scale_h"), params.integer("scale_w")
    elif params.has("scale") or not params.has("upsample_h"):
        factors = (params.integer("scale"),) * 2
    else:
        sizes = params.integer("upsample_h"), params.integer("upsample_w")
        factors = -(-sizes[0] // x.shape[2]), -(-sizes[1] // x.shape[3])
    params.ignore("scale")
    if min(factors) < 1:
        layer.broken(f"enlarges by {factors}")
    return factors


def _upsampled_size(params: Params, x: Value, factors: Pair) -> Pair:
    """The stated size, else the multiple without the last row or column where asked."""
    h = params.integer("upsample_h") or x.shape[2] * factors[0] - params.flag("pad_out_h")
    w = params.integer("upsample_w") or x.shape[3] * factors[1] - params.flag("pad_out_w")
    return h, w


def _unpooled(layer: Layer, x: Value, mask: Value, factors: Pair, size: Pair) -> Value:
    if mask.positions != factors or mask.shape != (*x.shape[:2], *size):
        layer.refuse(
            f"enlarges {x.shape} to {size} with the mask of a pool of {mask.positions} "
            f"over {mask.shape}"
        )
    y = layer.emit(ops.Upsample(name=layer.helper("full"), factors=factors), x)
    y = y if y.shape == mask.shape else _cropped(layer, layer.helper("crop"), y, size)
    return layer.emit(ops.Mul(name=layer.top_name(0)), y, mask)


def _cropped(layer: Layer, name: str, y: Value, size: Pair) -> Value:
    if size[0] > y.shape[2] or size[1] > y.shape[3] or min(size) < 1:
        layer.broken(f"enlarges to {size}, which is no multiple")
    return cut(layer, name, y, (0, 0, 0, 0), (*y.shape[:2], *size))
