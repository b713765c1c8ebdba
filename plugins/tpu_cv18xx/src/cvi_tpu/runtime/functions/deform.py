"""Deformable convolution (DCNv2): patches at shifted places, weighted by a mask."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from cvi.errors import ModelError
from cvi.ir.types import Array
from cvi_tpu.runtime.functions.call import Call
from cvi_tpu.runtime.functions.registry import cpu_function


@dataclass(frozen=True)
class _Window:
    """Geometry of the patches; pads are the same on both sides."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    pad: tuple[int, int]
    dilation: tuple[int, int]
    groups: int

    def size(self, image: tuple[int, ...]) -> tuple[int, int]:
        """Height and width of the output."""
        sizes = [
            (n + 2 * p - (d * (k - 1) + 1)) // s + 1
            for n, k, s, p, d in zip(
                image, self.kernel, self.stride, self.pad, self.dilation, strict=True
            )
        ]
        if min(sizes) < 1:
            raise ModelError(f"an image of {tuple(image)} has no patches of this kernel and pad")
        return sizes[0], sizes[1]


def _window(call: Call, kernel: tuple[int, int]) -> _Window:
    """All arguments but the kernel; a deform_group that is 0 divides by 0 in the vendor's."""
    pad = call.argument("padding_t", int), call.argument("padding_l", int)
    return _Window(
        kernel,
        (call.positive("stride_h"), call.positive("stride_w")),
        pad,
        (call.argument("dilation_h", int), call.argument("dilation_w", int)),
        call.positive("deform_group"),
    )


@cpu_function("deform_im2col")
def deform_im2col(call: Call) -> list[Array]:
    """Patches [n, channels * kh * kw, oh * ow]. Inputs: image, offsets, mask."""
    x, offsets, mask = (call.fp32(index) for index in range(3))
    window = _window(call, (call.positive("kernel_h"), call.positive("kernel_w")))
    height, width = window.size(x.shape[2:])
    call.images(x.shape[0], x.shape[1] * prod(window.kernel) * height * width)
    return [_patches(x, offsets, mask, window)]


@cpu_function("deform_conv2d")
def deform_conv2d(call: Call) -> list[Array]:
    """bias + weight * patches, sequential fp32 sums. Inputs: image, weight, bias, offsets,
    mask. The weight has all input channels: there are no convolution groups.

    The vendor's function also adds 0 times what lay in the output before: NaN where that
    was NaN or infinite. Here the output begins as 0."""
    x, weight, bias, offsets, mask = (call.fp32(index) for index in range(5))
    out_channels, _, kh, kw = weight.shape
    window = _window(call, (kh, kw))
    height, width = window.size(x.shape[2:])
    call.images(x.shape[0], out_channels * height * width)
    length = x.shape[1] * kh * kw
    if weight.size != out_channels * length or bias.size < out_channels:
        raise ModelError(f"weight {weight.shape} and bias {bias.shape} for image {x.shape}")
    rows = weight.reshape(out_channels, length)
    patches = _patches(x, offsets, mask, window).reshape(x.shape[0], length, height * width)
    total = np.zeros((x.shape[0], out_channels, height * width), np.float32)
    for p in range(length):
        total += patches[:, None, p] * rows[:, p, None]
    return [total + bias.reshape(-1)[:out_channels, None]]


def _patches(x: Array, offsets: Array, mask: Array, window: _Window) -> Array:
    """[n, channels, kh, kw, oh, ow]; offsets [n, groups * kh * kw * 2, oh, ow], mask half of
    that. Places a pixel or more outside of the image are 0."""
    n, channels, h, w = x.shape
    height, width = window.size((h, w))
    kh, kw = window.kernel
    points = kh * kw * height * width
    if channels % window.groups:
        raise ModelError(f"argument 'deform_group' {window.groups} of {channels} channels")
    for name, array, need in (("offsets", offsets, 2), ("mask", mask, 1)):
        if array.shape[0] != n or array.size != n * window.groups * points * need:
            raise ModelError(f"{name} of {array.shape} for {n} x {window.groups} x {points} points")
    shift = offsets.reshape(n, window.groups, kh, kw, 2, height, width)
    starts = [
        np.arange(size, dtype=np.int64) * stride - pad
        for size, stride, pad in zip((height, width), window.stride, window.pad, strict=True)
    ]
    taps = [np.arange(k) * d for k, d in zip(window.kernel, window.dilation, strict=True)]
    rows = taps[0][:, None, None, None] + starts[0][:, None]
    columns = taps[1][:, None, None] + starts[1]
    y = rows.astype(np.float32) + shift[:, :, :, :, 0]
    z = columns.astype(np.float32) + shift[:, :, :, :, 1]
    grouped = x.reshape(n, window.groups, channels // window.groups, h, w)
    values = _sampled(grouped, y, z)
    weights = mask.reshape(n, window.groups, 1, kh, kw, height, width)
    return (values * weights).reshape(n, channels, kh, kw, height, width)


def _sampled(x: Array, y: Array, z: Array) -> Array:
    """Bilinear; neighbours outside of the image are 0: [n, groups, channels, ...]."""
    h, w = x.shape[3:]
    inside = (y > -1) & (z > -1) & (y < h) & (z < w)
    y, z = np.where(inside, y, np.float32(0)), np.where(inside, z, np.float32(0))
    top, left = np.floor(y), np.floor(z)
    ly, lz = y - top, z - left
    hy, hz = np.float32(1) - ly, np.float32(1) - lz
    r, c = top.astype(np.int64), left.astype(np.int64)
    total = (hy * hz)[:, :, None] * _pixel(x, r, c) + (hy * lz)[:, :, None] * _pixel(x, r, c + 1)
    total = total + (ly * hz)[:, :, None] * _pixel(x, r + 1, c)
    total = total + (ly * lz)[:, :, None] * _pixel(x, r + 1, c + 1)
    values: Array = np.where(inside[:, :, None], total, np.float32(0))
    return values


def _pixel(x: Array, row: Array, column: Array) -> Array:
    n, groups, _, h, w = x.shape
    inside = (row >= 0) & (row < h) & (column >= 0) & (column < w)
    first = np.arange(n).reshape(-1, *[1] * (row.ndim - 1))
    second = np.arange(groups).reshape(1, -1, *[1] * (row.ndim - 2))
    pixels = x[first, second, :, np.clip(row, 0, h - 1), np.clip(column, 0, w - 1)]
    found: Array = np.moveaxis(np.where(inside[..., None], pixels, np.float32(0)), -1, 2)
    return found
