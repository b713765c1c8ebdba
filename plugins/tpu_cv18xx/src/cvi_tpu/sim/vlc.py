"""Decoder of the weight codec, a variable-length code on blocks of 16 symbols (FACTS_TPU 6)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cvi.errors import RunnerError
from cvi.ir.types import Array
from cvi_tpu.isa.operands import align, ceil_div

Bytes = npt.NDArray[np.uint8]
HEADER_BYTES = 16
BLOCK = 16
RAW = 7
"""Block code of 16 uncoded symbols."""
LONGEST_UNARY = 47


@dataclass(frozen=True)
class Header:
    """What the first 16 bytes say. size: bytes of data after header and block map."""

    size: int
    signed: bool
    bf16: bool
    bias0: int
    bias1: int
    zero_guard: bool


def header(stream: Bytes) -> Header:
    """The header of a stream of at least 16 bytes."""
    word = int.from_bytes(stream[:8].tobytes(), "little")
    return Header(
        size=word & 0xFFFFFF,
        signed=bool(word >> 28 & 1),
        bf16=bool(word >> 29 & 1),
        bias0=word >> 32 & 0xFF,
        bias1=word >> 40 & 0x7F,
        zero_guard=bool(word >> 47 & 1),
    )


def stream_bytes(head: Header, count: int) -> int:
    """Bytes of a whole stream of `count` elements."""
    return HEADER_BYTES + align(ceil_div(count, BLOCK), 16) + head.size


def decode(stream: Bytes, count: int) -> Array:
    """The `count` elements of a stream: uint8, or uint16 BF16 patterns.

    RunnerError when the stream is no valid code.
    """
    head = header(stream)
    blocks = ceil_div(count, BLOCK)
    codes = stream[HEADER_BYTES : HEADER_BYTES + blocks]
    data = stream[HEADER_BYTES + align(blocks, 16) :]
    # a block of wrong codes may point behind the end: it then reads zeros
    bits = np.unpackbits(np.concatenate([data, np.zeros(64, np.uint8)]), bitorder="little")
    if head.bf16:
        return _decode_bf16(bits, codes, head, count)
    starts = np.concatenate([[0], np.cumsum(_lengths(codes))])
    if starts[-1] > 8 * data.size:
        raise RunnerError("a compressed stream is cut off")
    symbols = _symbols(bits, codes, starts[:-1], with_count=False).reshape(-1)[:count]
    return _unsigned_map(head)[symbols] if head.signed else symbols


def _lengths(codes: Bytes) -> npt.NDArray[np.int64]:
    """Bits of each block, without the zero count and fractions of BF16."""
    k = codes.astype(np.int64) >> 5
    if (k == 6).any():
        raise RunnerError("a compressed stream has an unknown block code")
    return np.where(k == RAW, 8 * BLOCK, BLOCK * k + (codes & 31) + BLOCK)


def _symbols(
    bits: Bytes, codes: Bytes, starts: npt.NDArray[np.int64], *, with_count: bool
) -> Bytes:
    """Symbols uint8 (blocks, 16) of the blocks that start at these bits.

    with_count: coded blocks have a 4-bit count of zeros after the bit planes.
    """
    out = np.empty((codes.size, BLOCK), np.uint8)
    k = codes.astype(np.int64) >> 5
    raw = k == RAW
    if raw.any():
        rows = bits[starts[raw, None] + np.arange(8 * BLOCK)]
        out[raw] = np.packbits(rows, axis=1, bitorder="little")
    if not raw.all():
        counted = with_count & (k > 0)
        unary_at = starts + BLOCK * k + 4 * counted
        out[~raw] = _coded(bits, codes[~raw], starts[~raw], unary_at[~raw])
    return out


def _coded(
    bits: Bytes, codes: Bytes, starts: npt.NDArray[np.int64], unary_at: npt.NDArray[np.int64]
) -> Bytes:
    k = codes.astype(np.int64)[:, None] >> 5
    low = np.zeros((codes.size, BLOCK), np.int64)
    for plane in range(int(k.max())):
        row = bits[starts[:, None] + plane * BLOCK + np.arange(BLOCK)]
        low |= np.where(k > plane, row, 0).astype(np.int64) << plane
    place = np.arange(LONGEST_UNARY)
    ones = bits[np.minimum(unary_at[:, None] + place, bits.size - 1)] != 0
    ones &= place < ((codes & 31)[:, None] + BLOCK)
    if (ones.sum(axis=1) != BLOCK).any():
        raise RunnerError("a compressed stream has a block without 16 symbols")
    at = np.nonzero(ones)[1].reshape(-1, BLOCK)
    high = np.diff(at, axis=1, prepend=-1) - 1
    symbols: Bytes = ((high << k) + low).astype(np.uint8)
    return symbols


def _unsigned_map(head: Header) -> Bytes:
    """Symbol to signed byte: zigzag undone, then the two biases."""
    table = np.zeros(256, np.uint8)
    for symbol in range(1, 256):
        negative = symbol & 1
        size = (symbol + 1) >> 1
        size += head.bias1 if negative else head.bias0
        if size > 127 + negative:
            size -= 127 + negative
        table[symbol] = (-size if negative else size) & 0xFF
    return table


def _decode_bf16(bits: Bytes, codes: Bytes, head: Header, count: int) -> Array:
    """Blocks one after the other: where one ends depends on its exponents."""
    exponent_of = _exponent_map(head)
    out = np.empty((codes.size, BLOCK), np.uint16)
    at = 0
    for i in range(codes.size):
        code = codes[i : i + 1]
        if at >= bits.size - 512 and at > 0:
            raise RunnerError("a compressed stream is cut off")
        start = np.array([at], np.int64)
        symbols = _symbols(bits, code, start, with_count=head.zero_guard)[0]
        at += int(_lengths(code)[0])
        at += 4 * (head.zero_guard and 0 < int(code[0]) >> 5 < RAW)
        exponents = exponent_of[symbols].astype(np.uint16)
        # symbols that only fill the last block have fractions too
        present = np.ones(BLOCK, bool) if not head.zero_guard else exponents != 0
        present &= np.arange(BLOCK) < count - i * BLOCK
        fractions = np.zeros(BLOCK, np.uint16)
        size = 8 * int(present.sum())
        fractions[present] = np.packbits(bits[at : at + size], bitorder="little")
        at += size
        out[i] = (fractions >> 7) << 15 | exponents << 7 | fractions & 0x7F
    return out.reshape(-1)[:count]


def _exponent_map(head: Header) -> Bytes:
    """Symbol to exponent byte: undo the mapping around bias0."""
    bias, guard = head.bias0, int(head.zero_guard)
    radius = bias if bias <= 128 else 255 - bias
    table = np.zeros(256, np.uint8)
    for symbol in range(256):
        if symbol == 0 and guard:
            continue
        folded = symbol - guard & 0xFF
        around = bias + (-((folded + 1) >> 1) if folded & 1 else (folded + 1) >> 1)
        if bias <= 128:
            value = symbol if symbol >= 2 * radius else around
        else:
            value = radius + bias - symbol + guard if folded > 2 * radius else around
        table[symbol] = value & 0xFF
    return table
