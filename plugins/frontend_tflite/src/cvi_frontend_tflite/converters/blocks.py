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
from cvi_frontend_tflite.values import IMAGE, Value

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
    if x.rank != 4 or len(block) != 2:
        return node.reshaped(turned, shape, node.layer)
    joined = node.reshaped(turned, shape, node.helper("joined"))
    result = node.held(joined, IMAGE, node.layer)
    node.remember_blocks(result, Blocks(node.image(x), (block[0], block[1]), pads))
    return result


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
    conv = node.producer(x)
    blocks = node.blocks_of(conv.inputs[0]) if isinstance(conv, ops.Conv2d) else None
    if not isinstance(conv, ops.Conv2d) or blocks is None or blocks.block != block:
        return None
    pads = _remaining(blocks.pads, crops)
    simple = conv.stride == conv.dilation == (1, 1) and not any(conv.pads)
    if not simple or min(pads) < 0:
        return None
    whole: Op = conv.with_(name=node.layer, pads=pads, dilation=blocks.block, source="")
    return node.emit_reading(whole, (blocks.whole.name, *conv.inputs[1:]), order=IMAGE)


def _remaining(pads: Widths, crops: Widths) -> Pads:
    """The pads less what is cut from the result again."""
    (top, bottom), (left, right) = (
        (p[0] - c[0], p[1] - c[1]) for p, c in zip(pads, crops, strict=True)
    )
    return top, left, bottom, right


def _block(node: Node, what: str) -> tuple[tuple[int, ...], Widths]:
    """The block's size and the widths of pads or crops, per spatial dimension."""
    block, widths = node.integers(1, "the block"), node.constant(2, what)
    rank = node.operand(0).rank
    fits = 1 <= len(block) <= rank - 1 and widths.shape == (len(block), 2)
    if not fits or min(block) < 1 or widths.min() < 0 or widths.max() > 1 << 16:
        node.broken(f"blocks {block} and {what} of shape {widths.shape} do not fit")
    return block, tuple((int(a), int(b)) for a, b in widths)
