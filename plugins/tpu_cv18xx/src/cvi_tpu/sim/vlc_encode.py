"""Encoder of the weight codec, which compressing stores use (FACTS_TPU 4.5, 6)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cvi.ir.types import Array
from cvi_tpu.isa.operands import align, ceil_div
from cvi_tpu.sim.vlc import BLOCK, HEADER_BYTES, LONGEST_UNARY, RAW, Bytes, Header

Ints = npt.NDArray[np.int64]

_ORDERS = 6
_MOST_BITS = 128
"""A block whose code is longer is stored raw."""
_RAW_CODE = RAW << 5


def encode(values: Array, head: Header) -> Bytes:
    """The stream of flat values, uint8 or uint16 BF16 patterns, with these parameters; the
    header's size is filled in."""
    blocks = ceil_div(values.size, BLOCK)
    padded = np.zeros((blocks, BLOCK), values.dtype)
    padded.reshape(-1)[: values.size] = values
    guard = head.bf16 and head.zero_guard
    exponents = (padded >> 7 & 0xFF).astype(np.uint8) if head.bf16 else padded
    symbols = symbol_map(head)[exponents].astype(np.int64)
    orders = _orders(symbols, guard)
    codes, pieces = np.full(align(blocks, 16), 0, np.uint8), []
    for i, (row, order) in enumerate(zip(symbols, orders, strict=True)):
        codes[i], bits = _coded(row, int(order), guard)
        pieces.append(bits)
        if head.bf16:
            pieces.append(_fractions(padded[i], guard))
    data = np.packbits(np.concatenate(pieces), bitorder="little")
    body = np.zeros(align(data.size, 16), np.uint8)
    body[: data.size] = data
    return np.concatenate([_header(head, body.size), codes, body])


def _header(head: Header, size: int) -> Bytes:
    word = size | head.signed << 28 | head.bf16 << 29 | head.bias0 << 32
    word |= (head.bias1 & 0x7F) << 40 | head.zero_guard << 47
    return np.frombuffer(word.to_bytes(HEADER_BYTES, "little"), np.uint8)


def symbol_map(head: Header) -> Bytes:
    """The symbol of every byte: of BF16 exponents, or of 8-bit values."""
    if head.bf16:
        return _exponent_symbols(head)
    if not head.signed:
        return np.arange(256, dtype=np.uint8)
    values = np.arange(256, dtype=np.uint8).view(np.int8).astype(np.int64)
    negative = values < 0
    size = np.abs(values) - np.where(negative, head.bias1, head.bias0)
    size = np.where(size <= 0, size + 127 + negative, size)
    return np.where(values == 0, 0, _zigzag(np.where(negative, -size, size))).astype(np.uint8)


def _exponent_symbols(head: Header) -> Bytes:
    """Exponents around bias0, those that lie far off by their distance from the end."""
    values, bias, guard = np.arange(256, dtype=np.int64), head.bias0, int(head.zero_guard)
    around = _zigzag(values - bias) + guard
    if bias <= 128:
        symbols = np.where(values >= 2 * bias, values, around)
    else:
        radius = 255 - bias
        symbols = np.where(values < bias - radius, radius + bias - values + guard, around)
    if guard:
        symbols[0] = 0
    return (symbols & 0xFF).astype(np.uint8)


def _zigzag(values: Ints) -> Ints:
    return 2 * np.abs(values) - (values < 0)


def _orders(symbols: Ints, guard: bool) -> Ints:
    """The cheapest code of every block: 0 to 5 bit planes, or `RAW`."""
    costs = np.empty((_ORDERS, len(symbols)), np.int64)
    for k in range(_ORDERS):
        unary = ((symbols >> k) + 1).sum(axis=1)
        cost = BLOCK * k + unary + 4 * (guard and k > 0)
        costs[k] = np.where(unary <= LONGEST_UNARY, cost, 255)
    return np.where(costs.min(axis=0) > _MOST_BITS, RAW, costs.argmin(axis=0))


def _coded(symbols: Ints, order: int, guard: bool) -> tuple[int, Bytes]:
    """Code byte and bits of one block."""
    if order == RAW:
        return _RAW_CODE, np.unpackbits(symbols.astype(np.uint8), bitorder="little")
    parts = [(symbols >> plane & 1).astype(np.uint8) for plane in range(order)]
    if guard and order:
        parts.append(_bits(int((symbols == 0).sum()), 4))
    ends = np.cumsum((symbols >> order) + 1)
    unary = np.zeros(int(ends[-1]), np.uint8)
    unary[ends - 1] = 1
    return order << 5 | (unary.size - BLOCK & 31), np.concatenate([*parts, unary])


def _bits(value: int, count: int) -> Bytes:
    return (value >> np.arange(count) & 1).astype(np.uint8)


def _fractions(values: Array, guard: bool) -> Bytes:
    """Sign and mantissa of the elements, under the guard of those with an exponent."""
    present = (values >> 7 & 0xFF) != 0 if guard else np.ones(values.size, bool)
    fractions = (values >> 15) << 7 | values & 0x7F
    return np.unpackbits(fractions[present].astype(np.uint8), bitorder="little")
