"""Space to batch and back: how TensorFlow writes dilated convolutions.

The pixels that lie a block apart become images of their own, are convolved without
dilation, and are put together again. Where just one convolution stands between, this is
a dilated convolution; elsewhere the pixels are really moved.
"""

from __future__ import annotations

import math

from cvi import ops
from cvi.ir import Op
from cvi.ops.windows import Pads
from cvi_frontend_tflite.builder import Blocks
from cvi_frontend_tflite.converters.pad import padded
from cvi_frontend_tflite.converters.select import cut
from cvi_frontend_tflite.node import Node
from cvi_frontend_tflite.registry import converts
from cvi_frontend_tflite.values import IMAGE, Order, Value

Widths = tuple[tuple[int, int], ...]


@converts("SPACE_TO_BATCH_ND")
def space_to_batch(node: Node) -> Value:
    """[n, h, w, c] to [by * bx * n, h / by, w / bx, c] after padding."""
    x, (block, pads) = node.operand(0), _block(node, "the pads")
    rest = x.rank - 1 - len(block)
    before = (0, *(a for a, _ in pads), *[0] * rest)
    after = (0, *(b for _, b in pads), *[0] * rest)
    wide = padded(node, x, before, after, node.helper("padded"))
    sizes = wide.shape[1 : 1 + len(block)]
    if any(size % b for size, b in zip(sizes, block, strict=True)):
        node.broken(f"blocks {block} do not divide {sizes}")
    divided = [n for size, b in zip(sizes, block, strict=True) for n in (size // b, b)]
    tail = wide.shape[1 + len(block) :]
    split = node.reshaped(wide, (x.shape[0], *divided, *tail), node.helper("split"))
    turned = split.transposed(_blocks_first(len(block), split.rank))
    counts = [size // b for size, b in zip(sizes, block, strict=True)]
    shape = (math.prod(block) * x.shape[0], *counts, *tail)
    order = _IMAGES.get((x.rank, len(block)))
    if order is None:
        return node.reshaped(turned, shape, node.layer)
    joined = node.reshaped(turned, shape, node.helper("joined"))
    result = node.held(joined, order, node.layer)
    node.remember_blocks(result, Blocks(node.held(x, order), block, pads))
    return result


_IMAGES: dict[tuple[int, int], Order] = {(4, 2): IMAGE, (3, 1): (0, 2, 1)}
"""By the dimensions of a tensor and of its blocks: how convolutions hold it. A sequence
[n, w, c] is an image of one row to them."""


def _blocks_first(dims: int, rank: int) -> tuple[int, ...]:
    """From [n, s, b, s, b, ..., rest] to [b, b, n, s, s, rest]."""
    blocks = range(2, 2 + 2 * dims, 2)
    sizes = range(1, 1 + 2 * dims, 2)
    return (*blocks, 0, *sizes, *range(1 + 2 * dims, rank))


@converts("BATCH_TO_SPACE_ND")
def batch_to_space(node: Node) -> Value:
    x, (block, crops) = node.operand(0), _block(node, "the crops")
    return _dilated(node, x, block, crops) or _moved(node, x, block, crops)


def _moved(node: Node, x: Value, block: tuple[int, ...], crops: Widths) -> Value:
    count, dims = math.prod(block), len(block)
    if x.shape[0] % count:
        node.broken(f"a batch of {x.shape[0]} does not hold blocks {block}")
    split = node.reshaped(x, (*block, x.shape[0] // count, *x.shape[1:]), node.helper("split"))
    pairs = [d for i in range(dims) for d in (dims + 1 + i, i)]
    turned = split.transposed((dims, *pairs, *range(2 * dims + 1, split.rank)))
    sizes = [size * b for size, b in zip(x.shape[1:], block, strict=False)]
    tail = x.shape[1 + dims :]
    full = node.reshaped(turned, (turned.shape[0], *sizes, *tail), node.helper("joined"))
    kept = [size - a - b for size, (a, b) in zip(sizes, crops, strict=True)]
    starts = (0, *(a for a, _ in crops), *[0] * len(tail))
    return cut(node, full, starts, (full.shape[0], *kept, *tail), node.layer)


def _dilated(node: Node, x: Value, block: tuple[int, ...], crops: Widths) -> Value | None:
    """The dilated convolution, when one convolution of blocks is all there is."""
    order = _IMAGES.get((x.rank, len(block)))
    conv = node.producer(x)
    while x.rank == 3 and isinstance(conv, ops.Reshape):
        conv = node.layer_named(conv.inputs[0])
    if not isinstance(conv, ops.Conv2d) or order is None or x.order != order:
        return None
    blocks = _spread_by(node, conv)
    rows = (1,) * (2 - len(block))
    if blocks is None or blocks.block != block or conv.type.shape[2:] != rows + x.carried[2:]:
        return None
    pads = _remaining(blocks.pads, crops)
    simple = conv.stride == conv.dilation == (1, 1) and not any(conv.pads)
    if not simple or min(pads) < 0:
        return None
    return _whole(node, conv, blocks, pads)


def _spread_by(node: Node, conv: ops.Conv2d) -> Blocks | None:
    """The blocks that a convolution reads, itself or as an image of one row."""
    name = conv.inputs[0]
    blocks, op = node.blocks_of(name), node.layer_named(name)
    while blocks is None and isinstance(op, ops.Reshape):
        blocks, op = node.blocks_of(op.inputs[0]), node.layer_named(op.inputs[0])
        if blocks is not None and (op is None or not _is_row(conv, node, op)):
            return None
    return blocks


def _is_row(conv: ops.Conv2d, node: Node, blocks: Op) -> bool:
    """Whether the convolution reads blocks [n, c, w] as [n, c, 1, w]."""
    read = node.layer_named(conv.inputs[0])
    n, c, *w = blocks.type.shape
    return read is not None and read.type.shape == (n, c, 1, *w)


def _whole(node: Node, conv: ops.Conv2d, blocks: Blocks, pads: Pads) -> Value:
    """The convolution of the image that the blocks are made from."""
    x = blocks.whole
    row = x.rank == 3
    if row:
        x = node.reshaped(x, (x.shape[0], 1, *x.shape[1:]), node.helper("row"))
    x = node.image(x)
    dilation = (1, blocks.block[0]) if row else (blocks.block[0], blocks.block[1])
    name = node.helper("conv") if row else node.layer
    op: Op = conv.with_(name=name, pads=pads, dilation=dilation, source="")
    result = node.emit_reading(op, (x.name, *conv.inputs[1:]), order=IMAGE)
    if not row:
        return result
    n, _, w, c = result.shape
    return node.held(node.reshaped(result, (n, w, c), node.layer), (0, 2, 1))


def _remaining(pads: Widths, crops: Widths) -> Pads:
    """The pads less what is cut from the result again."""
    left = [(p[0] - c[0], p[1] - c[1]) for p, c in zip(pads, crops, strict=True)]
    (top, bottom), (before, behind) = [(0, 0)] * (2 - len(left)) + left
    return top, before, bottom, behind


def _block(node: Node, what: str) -> tuple[tuple[int, ...], Widths]:
    """The block's size and the widths of pads or crops, per spatial dimension."""
    block, widths = node.integers(1, "the block"), node.constant(2, what)
    rank = node.operand(0).rank
    fits = 1 <= len(block) <= rank - 1 and widths.shape == (len(block), 2)
    if not fits or min(block) < 1 or widths.min() < 0 or widths.max() > 1 << 16:
        node.broken(f"blocks {block} and {what} of shape {widths.shape} do not fit")
    return block, tuple((int(a), int(b)) for a, b in widths)
