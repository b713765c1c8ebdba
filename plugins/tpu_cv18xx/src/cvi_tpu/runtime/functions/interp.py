"""Resizing of images: all coordinate modes of the vendor's function `interp`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cvi.errors import ModelError, UnsupportedError
from cvi.ir.types import Array, DType
from cvi_tpu.runtime.functions.call import Call
from cvi_tpu.runtime.functions.registry import cpu_function

_HALF, _ONE = np.float32(0.5), np.float32(1)
_MODES = ("align_corners", "half_pixel", "pytorch_half_pixel", "asymmetric")


@cpu_function("interp")
def interp(call: Call) -> list[Array]:
    """Bilinear (fp32) or, for modes that begin with "nearest", nearest neighbour.

    align_corners: the size follows from pads, shrink_factor and zoom_factor, or is height x
    width; pads are 0 or negative (cropping). Other modes: height x width, or the output's
    size when one of them is 0; shrink, zoom and pads are ignored.
    """
    numbers = {k: call.argument(k, int) for k in ("shrink_factor", "zoom_factor")}
    pads = call.argument("pad_beg", int), call.argument("pad_end", int)
    size = call.argument("height", int), call.argument("width", int)
    mode = call.argument("coordinate_transformation_mode", str)
    if mode == "align_corners":
        return _align_corners(call, numbers["shrink_factor"], numbers["zoom_factor"], pads, size)
    if not all(size):
        out = call.output(*DType).shape
        size = out[2], out[3]
    if mode.startswith("nearest"):
        return _nearest(call, size, half_pixel=mode == "nearest_half_pixel")
    if mode not in _MODES:
        raise UnsupportedError(
            f"interp has no 'coordinate_transformation_mode' {mode!r}",
            fix=f"one of {', '.join(_MODES)}, nearest, nearest_half_pixel",
        )
    x = call.fp32(0)
    _room(call, x, size, DType.FP32)
    if mode == "asymmetric":
        return [_asymmetric(x, size)]
    return [_half_pixel(x, size, pytorch=mode == "pytorch_half_pixel")]


def _room(call: Call, x: Array, size: tuple[int, int], dtype: DType) -> None:
    if min(size) < 1:
        raise ModelError(f"interp to {size[0]} x {size[1]}")
    call.fills(x.shape[0] * x.shape[1] * size[0] * size[1], dtype)


def _nearest(call: Call, size: tuple[int, int], *, half_pixel: bool) -> list[Array]:
    operand = call.operand(0, DType.FP32, DType.BF16, DType.INT8)
    x = operand.values
    _room(call, x, size, operand.dtype)
    rows, columns = (_source(n, out, half_pixel) for n, out in zip(x.shape[2:], size, strict=True))
    return [x[:, :, rows[:, None], columns]]


def _source(length: int, out: int, half_pixel: bool) -> Array:
    """The source index of each output index."""
    scale = np.float32(length) / np.float32(out)
    if half_pixel:
        places = np.ceil((np.arange(out) + 0.5) * np.float64(scale) - 1.0)
    else:
        places = np.trunc(np.arange(out).astype(np.float32) * scale)
    inside: Array = np.clip(places, 0, length - 1)
    return inside.astype(np.int64)


@dataclass(frozen=True)
class _Taps:
    """Per output index: two source indices and the weight of each."""

    low: Array
    high: Array
    low_weight: Array
    high_weight: Array


def _half_pixel(x: Array, size: tuple[int, int], *, pytorch: bool) -> Array:
    """Bilinear between pixel centres.

    The vendor's faults: it computes the output's size anew as int(input * (output / input))
    in fp32, which can be one less (41 -> 1 gives 0); the smaller image is then packed at the
    start of the output, and what follows is not written: zero here.
    """
    scales = [np.float32(o) / np.float32(n) for n, o in zip(x.shape[2:], size, strict=True)]
    height, width = (int(np.float32(n) * s) for n, s in zip(x.shape[2:], scales, strict=True))
    rows = _half_pixel_taps(x.shape[2], height, scales[0], pytorch)
    columns = _half_pixel_taps(x.shape[3], width, scales[1], pytorch)
    dy1, dy2 = rows.high_weight[:, None], rows.low_weight[:, None]
    dx1, dx2 = columns.high_weight, columns.low_weight
    upper, lower = x[:, :, rows.low], x[:, :, rows.high]
    image = dx2 * dy2 * upper[..., columns.low] + dx1 * dy2 * upper[..., columns.high]
    image = image + dx2 * dy1 * lower[..., columns.low]
    image = image + dx1 * dy1 * lower[..., columns.high]
    out = np.zeros(x.shape[0] * x.shape[1] * size[0] * size[1], np.float32)
    out[: image.size] = image.reshape(-1)
    return out


def _half_pixel_taps(length: int, out: int, scale: np.float32, pytorch: bool) -> _Taps:
    place = np.arange(out, dtype=np.float32)
    if scale != 1:
        place = (place + _HALF) / scale - _HALF
        if pytorch and out <= 1:
            place = np.zeros_like(place)
    place = np.clip(place, np.float32(0), np.float32(length - 1))
    low = place.astype(np.int64)
    high = np.minimum(low + 1, length - 1)
    up, down = np.abs(place - low.astype(np.float32)), np.abs(place - high.astype(np.float32))
    same = low == high
    return _Taps(low, high, np.where(same, _HALF, down), np.where(same, _HALF, up))


def _asymmetric(x: Array, size: tuple[int, int]) -> Array:
    """Bilinear at index * input / output; a whole index takes no second neighbour."""
    rows, columns = (_places(n, o) for n, o in zip(x.shape[2:], size, strict=True))
    (h0, h1, up, down), (w0, w1, left, right) = rows, columns
    up, down = up[:, None], down[:, None]
    upper, lower = x[:, :, h0], x[:, :, h1]
    both = upper[..., w0] * (left * up) + upper[..., w1] * (right * up)
    both = both + lower[..., w0] * (left * down) + lower[..., w1] * (right * down)
    across = upper[..., w0] * left + upper[..., w1] * right
    along = upper[..., w0] * up + lower[..., w0] * down
    whole_row, whole_column = (h0 == h1)[:, None], w0 == w1
    bilinear = np.where(whole_row, across, np.where(whole_column, along, both))
    return np.where(whole_row & whole_column, upper[..., w0], bilinear)


def _places(length: int, out: int) -> tuple[Array, Array, Array, Array]:
    """Lower and upper source index, and their weights."""
    scale = np.float32(length) / np.float32(out)
    place = np.minimum(np.arange(out, dtype=np.float32) * scale, np.float32(length - 1))
    low, high = np.floor(place), np.ceil(place)
    return low.astype(np.int64), high.astype(np.int64), high - place, place - low


def _align_corners(
    call: Call, shrink: int, zoom: int, pads: tuple[int, int], size: tuple[int, int]
) -> list[Array]:
    """Corner to corner, as Caffe's interp layer."""
    x = call.fp32(0)
    if max(pads) > 0:
        raise UnsupportedError("interp pads only by 0 or less: the vendor's runtime aborts")
    top, bottom = -pads[0], -pads[1]
    h, w = x.shape[2] - top - bottom, x.shape[3] - top - bottom
    if min(h, w) < 1:
        raise ModelError(f"arguments 'pad_beg' and 'pad_end' leave {h} x {w} of the image")
    size = _scaled((h, w), shrink, zoom, size)
    _room(call, x, size, DType.FP32)
    x = x[:, :, top : top + h, top : top + w]
    if size == (h, w):
        return [x]
    rows, columns = (_corner_taps(n, o) for n, o in zip((h, w), size, strict=True))
    upper, lower = x[:, :, rows.low], x[:, :, rows.high]
    left, right = columns.low_weight, columns.high_weight
    above = left * upper[..., columns.low] + right * upper[..., columns.high]
    below = left * lower[..., columns.low] + right * lower[..., columns.high]
    return [rows.low_weight[:, None] * above + rows.high_weight[:, None] * below]


def _scaled(
    image: tuple[int, int], shrink: int, zoom: int, size: tuple[int, int]
) -> tuple[int, int]:
    """The output's size: height and width count for more than shrinking and zooming both."""
    if shrink and zoom and all(size):
        return size
    if not (shrink or zoom):
        if not all(size):
            raise ModelError("interp has neither 'shrink_factor', 'zoom_factor' nor a size")
        return size
    if shrink < 0 or zoom < 0:
        raise ModelError(f"argument 'shrink_factor' {shrink} or 'zoom_factor' {zoom} is negative")
    if shrink:
        image = ((image[0] - 1) // shrink + 1, (image[1] - 1) // shrink + 1)
    if zoom:
        image = (image[0] + (image[0] - 1) * (zoom - 1), image[1] + (image[1] - 1) * (zoom - 1))
    return image


def _corner_taps(length: int, out: int) -> _Taps:
    scale = np.float32(length - 1) / np.float32(out - 1) if out > 1 else np.float32(0)
    place = scale * np.arange(out, dtype=np.float32)
    low = place.astype(np.int64)
    high = np.where(low < length - 1, low + 1, low)
    weight = place - low.astype(np.float32)
    return _Taps(low, high, _ONE - weight, weight)
