"""Dilations beyond the instruction's field: a convolution of every phase of the input.

A filter dilated by p * d reads, for one result, only pixels whose rows (and columns) are
equal modulo p: each of these p phases is an image of its own, and on it the filter is
dilated by d.
"""

from __future__ import annotations

from cvi.ops import Pad, Permute, Reshape, Slice
from cvi_tpu.quantized.ops import Pads, Pair
from cvi_tpu.quantized.rewriter import Chain


def phases_of(dilation: Pair, kernel: Pair, most: int) -> Pair:
    """Into how many phases each axis is split: the fewest that bring the dilation to
    `most` or less."""
    rows, columns = (
        1 if size == 1 else next(p for p in range(1, d + 1) if d % p == 0 and d // p <= most)
        for d, size in zip(dilation, kernel, strict=True)
    )
    return rows, columns


def split_phases(chain: Chain, phases: Pair, pads: Pads, value: float) -> None:
    """[n, c, h, w], padded with the real number `value`, to [ph * pw * n, c, h', w'] with
    element (y, x) of phase (i, j) from row y * ph + i and column x * pw + j.

    Sizes are rounded up with the same padding.
    """
    (ph, pw), (top, left, bottom, right) = phases, pads
    n, c, height, width = chain.shape
    rows, columns = -(-(height + top + bottom) // ph), -(-(width + left + right) // pw)
    after = (0, 0, rows * ph - height - top, columns * pw - width - left)
    if any((top, left, *after)):
        chain.then(
            "pad", Pad(name="", inputs=("",), before=(0, 0, top, left), after=after, value=value)
        )
    chain.reshape("rows", (n, c, rows, ph, columns, pw))
    chain.then("phases", Permute(name="", inputs=("",), order=(3, 5, 0, 1, 2, 4)))
    chain.then("images", Reshape(name="", inputs=("",), shape=(ph * pw * n, c, rows, columns)))


def join_phases(chain: Chain, phases: Pair, size: Pair) -> None:
    """The inverse of `split_phases` on its result, cut to `size` rows and columns."""
    ph, pw = phases
    images, c, rows, columns = chain.shape
    n = images // (ph * pw)
    chain.reshape("results", (ph, pw, n, c, rows, columns))
    chain.then("mixed", Permute(name="", inputs=("",), order=(2, 3, 4, 0, 5, 1)))
    chain.reshape("joined", (n, c, rows * ph, columns * pw))
    if size != (rows * ph, columns * pw):
        sizes = (n, c, *size)
        cut = Slice(name="", inputs=("",), starts=(0,) * 4, sizes=sizes, steps=(1,) * 4)
        chain.then("cut", cut)
