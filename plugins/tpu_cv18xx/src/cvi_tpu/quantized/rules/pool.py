"""Pooling."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from cvi.ir import DType, Graph, Op, Shape
from cvi.ops import AvgPool2d, MaxPool2d, Pad, Permute, PoolMask, Slice
from cvi.ops.windows import extent
from cvi_tpu.chip import ChipSpec
from cvi_tpu.quantized.ops import (
    Bf16AvgPool2d,
    Bf16MaxPool2d,
    Bf16PoolMask,
    Int8AvgPool2d,
    Int8MaxPool2d,
    Int8PoolMask,
    Pads,
    Pair,
)
from cvi_tpu.quantized.registry import TPU, quantizes, requires
from cvi_tpu.quantized.rewriter import Chain, Operand, Rewriter
from cvi_tpu.quantized.rules.filters import least_stride
from cvi_tpu.quantized.rules.planes import (
    Pool,
    dilation_of,
    fits_in_lane,
    in_pieces,
    is_long,
    is_whole,
    pieces,
)
from cvi_tpu.quantized.scales import gain

LARGEST_NUMBER = 3.3895314e38
"""The largest finite number of BF16."""

MOST_BLOCK = 15
"""Rows and columns of a block whose maxima every chip can take at once."""


@quantizes(MaxPool2d, precision=TPU)
def max_pool(op: MaxPool2d, to: Rewriter) -> None:
    """One maximum, dilated or not; a window too large for a lane is reduced by rows, then by
    columns (a maximum of maxima is exact)."""
    x = to.operand(op.inputs[0])
    chain = Chain(to, op, x)
    if _is_far(op, x.shape, to.spec):
        _windows_to_channels(chain, op)
        op = replace(op, stride=(1, 1))
    if is_long(op, to.spec) and is_whole(op, x.shape):
        op = in_pieces(chain, op, _lowest(x))
    pads = _pads_that_fit(chain, op.pads, to.spec, _lowest(x))
    (kh, kw), (sh, sw) = op.kernel, _stride(op, chain.shape)
    dh, dw = (1 if k == 1 else d for k, d in zip(op.kernel, op.dilation, strict=True))
    if fits_in_lane((extent(kh, dh), extent(kw, dw)), to.spec, x.dtype):
        chain.then("pool", _maximum(x, op.kernel, (sh, sw), pads, (dh, dw)))
    else:
        top, left, bottom, right = pads
        chain.then("rows", _maximum(x, (kh, 1), (sh, 1), (top, 0, bottom, 0), (dh, 1)))
        chain.then("columns", _maximum(x, (1, kw), (1, sw), (0, left, 0, right), (1, dw)))
    chain.reshape("shape", op.type.shape)
    chain.close()


def _maximum(x: Operand, kernel: Pair, stride: Pair, pads: Pads, dilation: Pair) -> Op:
    """The maximum of windows of x."""
    pool = (
        Bf16MaxPool2d(name="", kernel=kernel)
        if x.dtype is DType.BF16
        else Int8MaxPool2d(name="", kernel=kernel, out_scale=x.scale, out_zero=x.zero)
    )
    return pool.with_(inputs=("",), stride=stride, pads=pads, dilation=dilation)


def _lowest(x: Operand) -> float:
    """The lowest real number that x can hold."""
    return -LARGEST_NUMBER if x.dtype is DType.BF16 else (-128 - x.zero) * x.scale


@quantizes(PoolMask, precision=TPU)
def pool_mask(op: PoolMask, to: Rewriter) -> None:
    """One mask; in INT8 in steps of 1, so that a product with it keeps the other's scale."""
    x = to.operand(op.inputs[0])
    mask = (
        Bf16PoolMask(name=op.name, size=op.size)
        if x.dtype is DType.BF16
        else Int8PoolMask(name=op.name, size=op.size, out_scale=1.0)
    )
    to.define(mask.with_(inputs=(x.name,), source=op.source))


@requires(PoolMask, precision=TPU)
def block_in_range(op: PoolMask, graph: Graph, spec: ChipSpec) -> bool:
    """the chip takes the maxima of blocks of at most 15 rows and columns (its strides)

    use smaller blocks, in several layers
    """
    return max(op.size) <= MOST_BLOCK


@quantizes(AvgPool2d)
def avg_pool(op: AvgPool2d, to: Rewriter) -> None:
    """Window sums with the exact divisor of every window."""
    x = to.operand(op.inputs[0])
    chain = Chain(to, op, x)
    if _is_far(op, x.shape, to.spec):
        _windows_to_channels(chain, op)
        op = replace(op, stride=(1, 1))
    if is_long(op, to.spec):
        op = in_pieces(chain, op, 0.0)
    shape = chain.shape
    y_scale = 1.0 if x.dtype is DType.BF16 else to.scale(op.name)
    pool = _average(x, y_scale).with_(
        kernel=op.kernel,
        stride=_stride(op, shape),
        pads=op.pads,
        ceil_pads=op.ceil_pads,
        count_include_pad=op.count_include_pad,
        relu=op.relu,
    )
    counts = sorted(set(pool.counts((shape[2], shape[3])).ravel().tolist()) - {0})
    if isinstance(pool, Bf16AvgPool2d):
        chain.then("pool", pool.with_(factors=tuple((n, 1 / n) for n in counts)))
    else:
        chain.then("pool", pool.with_(rates=rates(counts, x.scale / y_scale)))
    chain.reshape("shape", op.type.shape)
    chain.close()


def _average(x: Operand, y_scale: float) -> Int8AvgPool2d | Bf16AvgPool2d:
    """A mean of single pixels of x."""
    if x.dtype is DType.BF16:
        return Bf16AvgPool2d(name="", inputs=("",), kernel=(1, 1))
    return Int8AvgPool2d(name="", inputs=("",), kernel=(1, 1), out_scale=y_scale)


def _is_far(op: Pool, x: Shape, spec: ChipSpec) -> bool:
    """Whether the windows are farther apart than the stride's field can say, side by side
    and without padding (the pyramids of scene parsing)."""
    alone = op.kernel == op.stride and not any(op.pads) and dilation_of(op) == (1, 1)
    return alone and max(_stride(op, x)) > spec.max_stride


def _windows_to_channels(chain: Chain, op: Pool) -> None:
    """[n, c, h * kh, w * kw] to [n, c * h * w, kh, kw]: every window an image of its own;
    rows and columns of no full window go."""
    n, c, h, w = op.type.shape
    kh, kw = op.kernel
    if chain.shape[2:] != (h * kh, w * kw):
        sizes = (n, c, h * kh, w * kw)
        cut = Slice(name="", inputs=("",), starts=(0,) * 4, sizes=sizes, steps=(1,) * 4)
        chain.then("cut", cut)
    chain.reshape("split", (n, c, h, kh, w, kw))
    chain.then("windows", Permute(name="", inputs=("",), order=(0, 1, 2, 4, 3, 5)))
    chain.reshape("images", (n, c * h * w, kh, kw))


def rates(counts: Sequence[int], ratio: float) -> tuple[tuple[int, int, int, int], ...]:
    """(count, weight, multiplier, shift) that turn a sum of `count` steps into a mean."""
    return tuple((count, *gain(ratio / count)) for count in counts)


def _stride(op: Pool, x: Shape) -> Pair:
    room = tuple(
        x[2 + i] + op.pads[i] + op.pads[2 + i] - extent(op.kernel[i], dilation_of(op)[i])
        for i in (0, 1)
    )
    return least_stride(op.stride, (room[0], room[1]))


def _pads_that_fit(chain: Chain, pads: Pads, spec: ChipSpec, value: float) -> Pads:
    """The pads, or none after a Pad op when they exceed the field of the instruction."""
    if max(pads) <= spec.max_pad:
        return pads
    top, left, bottom, right = pads
    pad = Pad(
        name="", inputs=("",), before=(0, 0, top, left), after=(0, 0, bottom, right), value=value
    )
    chain.then("pad", pad)
    return 0, 0, 0, 0


@requires(MaxPool2d, AvgPool2d, precision=TPU)
def pool_stride_in_range(op: Pool, graph: Graph, spec: ChipSpec) -> bool:
    """the stride exceeds what the chip can do (15, on the CV182x family 31)

    only strides equal to the window without padding are possible beyond; use two pools
    with smaller strides
    """
    x = graph.type_of(op.inputs[0]).shape
    return max(_stride(op, x)) <= spec.max_stride or _is_far(op, x, spec)


@requires(AvgPool2d, precision=TPU)
def pads_in_range(op: AvgPool2d, graph: Graph, spec: ChipSpec) -> bool:
    """the padding exceeds the 15 pixels that the chip can add to an average pool

    use a smaller padding
    """
    return max(op.pads) <= spec.max_pad


@requires(MaxPool2d, precision=TPU)
def window_is_short(op: MaxPool2d, graph: Graph, spec: ChipSpec) -> bool:
    """a window has more than 4063 rows or columns and is not the whole image

    pool in two layers
    """
    size = (extent(k, d) for k, d in zip(op.kernel, op.dilation, strict=True))
    return max(size) <= spec.max_size or is_whole(op, graph.type_of(op.inputs[0]).shape)


@requires(AvgPool2d)
def window_fits(op: AvgPool2d, graph: Graph, spec: ChipSpec) -> bool:
    """a window is larger than half of a lane's memory, or longer than 4063 without equal
    pieces, and a mean in two steps is not exact

    pool in two layers, e.g. 8x8 before the global pool
    """
    length, most = math.prod(op.kernel), spec.max_size
    even = is_whole(op, graph.type_of(op.inputs[0]).shape) and not length % pieces(length, most)
    return fits_in_lane(op.kernel, spec, DType.INT8) and (even or not is_long(op, spec))
