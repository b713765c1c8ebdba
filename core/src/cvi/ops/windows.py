"""Sliding windows over feature maps: output sizes, padding, strided views, im2col.

Shapes are [n, c, h, w]; pads are (top, left, bottom, right).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cvi.ir.op import Op
from cvi.ir.types import Array
from cvi.ops.check import broken, not_negative, positive

Pair = tuple[int, int]
Pads = tuple[int, int, int, int]

_COLUMN_BYTES = 8 << 20  # an im2col block of about this size stays near the caches
_BLOCK_ELEMENTS = 1 << 15


def extent(kernel: int, dilation: int) -> int:
    """Pixels from the first to the last tap of a dilated kernel."""
    return (kernel - 1) * dilation + 1


def output_size(op: Op, size: Pair, kernel: Pair, stride: Pair, pads: Pads, dilation: Pair) -> Pair:
    """Height and width of the result of a convolution or pool (floor formula)."""
    positive(op, "kernel", kernel)
    positive(op, "stride", stride)
    positive(op, "dilation", dilation)
    not_negative(op, "pads", pads)
    out = tuple(
        (size[i] + pads[i] + pads[i + 2] - extent(kernel[i], dilation[i])) // stride[i] + 1
        for i in (0, 1)
    )
    if min(out) < 1:
        raise broken(op, f"kernel {kernel} does not fit into the padded input {size}")
    return out[0], out[1]


def pad2d(x: Array, pads: Pads, value: float) -> Array:
    """x with its height and width padded by `value` (x itself when there is nothing to pad)."""
    if not any(pads):
        return x
    top, left, bottom, right = pads
    n, c, h, w = x.shape
    padded = np.full((n, c, h + top + bottom, w + left + right), value, x.dtype)
    padded[:, :, top : top + h, left : left + w] = x
    return padded


def windows(x: Array, kernel: Pair, stride: Pair, dilation: Pair = (1, 1)) -> Array:
    """Read-only view [n, c, kh, kw, oh, ow] of the (already padded) x."""
    n, c, h, w = x.shape
    oh = (h - extent(kernel[0], dilation[0])) // stride[0] + 1
    ow = (w - extent(kernel[1], dilation[1])) // stride[1] + 1
    sn, sc, sh, sw = x.strides
    return np.lib.stride_tricks.as_strided(
        x,
        (n, c, *kernel, oh, ow),
        (sn, sc, sh * dilation[0], sw * dilation[1], sh * stride[0], sw * stride[1]),
        writeable=False,
    )


def taps(kernel: Pair) -> Iterator[Pair]:
    """All (row, column) positions of a kernel."""
    return ((ky, kx) for ky in range(kernel[0]) for kx in range(kernel[1]))


def convolve(
    x: Array, weight: Array, stride: Pair, dilation: Pair = (1, 1), group: int = 1
) -> Array:
    """Convolution of the (already padded) x with weight[oc, ic/group, kh, kw]."""
    if weight.shape[1] == 1 and group > 1:
        return _convolve_depthwise(x, weight, stride, dilation, group)
    if weight.shape[2:] == (1, 1) and stride == (1, 1):
        return _convolve_pointwise(x, weight, group)
    return _convolve_im2col(x, weight, stride, dilation, group)


def _convolve_pointwise(x: Array, weight: Array, group: int) -> Array:
    n, ic, h, w = x.shape
    oc = weight.shape[0]
    kernel = weight.reshape(group, oc // group, ic // group)
    y: Array = np.matmul(kernel, x.reshape(n, group, ic // group, h * w))
    return y.reshape(n, oc, h, w)


def _convolve_im2col(x: Array, weight: Array, stride: Pair, dilation: Pair, group: int) -> Array:
    """Blocks of output rows, each one matrix product per group."""
    oc, icg, kh, kw = weight.shape
    view = windows(x, (kh, kw), stride, dilation)
    n, _, _, _, oh, ow = view.shape
    depth = icg * kh * kw
    kernel = weight.reshape(group, oc // group, depth)
    out = np.empty((n, oc, oh, ow), np.result_type(x, weight))
    rows = max(1, _COLUMN_BYTES // (group * depth * ow * x.itemsize))
    for image in range(n):
        for top in range(0, oh, rows):
            block = view[image, :, :, :, top : top + rows]
            columns = block.reshape(group, depth, -1)
            y = np.matmul(kernel, columns)
            out[image, :, top : top + rows] = y.reshape(oc, -1, ow)
    return out


def _convolve_depthwise(x: Array, weight: Array, stride: Pair, dilation: Pair, group: int) -> Array:
    """One multiply-add per tap over blocks of planes that stay in the cache.

    Every input channel gives oc / ic output channels.
    """
    oc, _, kh, kw = weight.shape
    view = windows(x, (kh, kw), stride, dilation)
    n, ic, _, _, oh, ow = view.shape
    each = oc // ic
    kernel = weight.reshape(ic, each, kh, kw, 1, 1)
    out = np.empty((n, ic, each, oh, ow), np.result_type(x, weight))
    channels = max(1, _BLOCK_ELEMENTS // (each * oh * ow))
    scratch = np.empty((min(channels, ic), each, oh, ow), out.dtype)
    for image in range(n):
        for first in range(0, ic, channels):
            block = slice(first, first + channels)
            _sum_taps(view[image, block, None], kernel[block], out[image, block], scratch)
    return out.reshape(n, oc, oh, ow)


def _sum_taps(view: Array, kernel: Array, out: Array, scratch: Array) -> None:
    """out[c,m] = sum over taps of view[c,1,tap] * kernel[c,m,tap]."""
    product = scratch[: len(out)]
    for tap, (ky, kx) in enumerate(taps((view.shape[2], view.shape[3]))):
        into = product if tap else out
        np.multiply(view[:, :, ky, kx], kernel[:, :, ky, kx], out=into)
        if tap:
            out += product
