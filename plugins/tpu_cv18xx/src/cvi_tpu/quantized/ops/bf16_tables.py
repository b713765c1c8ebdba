"""Functions of one BF16 tensor by tables of 256 entries (FACTS_TPU 3.8).

A look-up takes the low byte of a BF16 number as its index. The number 192 + i with a whole
i from -64 to 64 has the low byte i + 64: adding such an offset to a number rounds it to
nearest and makes an index of it. Everything happens in the compute engine; moves by the DMA
engine, which convert and make indices too (FACTS_TPU 4.3, 4.6), work lane after lane.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cvi.ir import Array, TensorType
from cvi.ops.check import Types, operands, require
from cvi_tpu.quantized import bf16
from cvi_tpu.quantized.ops.bf16_base import Bf16Op, bf16s

ENTRIES = 256
_CENTRE = 192.0
_FIRST, _LAST = 128.0, 256.0
"""Numbers between these have the indices 0 to 128."""


@dataclass(frozen=True, kw_only=True)
class Bf16Table(Bf16Op):
    """Base: inputs x and two tables bf16[256]; `function` is what becomes of each number."""

    def infer(self, inputs: Types) -> TensorType:
        x, *tables = operands(self, inputs, 3)
        bf16s(self, inputs)
        for table in tables:
            require(self, table.shape == (ENTRIES,), f"a table must be bf16[256] but is {table}")
        return self.result(x.shape)

    def evaluate(self, *inputs: Array | None) -> Array:
        """Large tensors by a table of all 65536 patterns."""
        x, first, second = inputs
        assert x is not None and first is not None and second is not None
        if x.size <= 1 << 16:
            return self.function(x, first, second)
        return np.asarray(self.function(np.arange(1 << 16, dtype=np.uint16), first, second)[x])

    def function(self, x: Array, first: Array, second: Array) -> Array:
        """The patterns of the results."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Bf16Interpolate(Bf16Table):
    """Straight lines on cells of a range: base[i] + (t - i) * slope[i] with t = x * scale and
    i the whole number nearest to t, limited to the range; times x if `gated`.

    inputs: x, base, slope. offset: 192 for i from -64 to 64, 256 for i from -128 to 0. Each
    step is one instruction, its result rounded; only the last product is added in fp32.
    """

    scale: float
    offset: float = _CENTRE
    gated: bool = False

    @property
    def least(self) -> float:
        """The lowest t with a cell of its own."""
        return _FIRST - self.offset

    @property
    def most(self) -> float:
        """The highest t with a cell of its own."""
        return _LAST - self.offset

    def function(self, x: Array, first: Array, second: Array) -> Array:
        number = bf16.decode(x)
        t = bf16.stored(bf16.multiply(number, np.float32(bf16.nearest(self.scale))))
        inside = _smaller(_larger(t, self.least), self.most)
        index = bf16.encode(bf16.add(inside, np.float32(self.offset)))
        whole = bf16.stored(bf16.add(bf16.decode(index), np.float32(-self.offset)))
        rest = bf16.stored(bf16.subtract(t, whole))
        base, slope = (bf16.decode(table[index & 0xFF]) for table in (first, second))
        y = bf16.encode(bf16.add(bf16.multiply(rest, slope), base))
        return bf16.encode(bf16.multiply(bf16.decode(y), number)) if self.gated else y


def _larger(values: Array, bound: float) -> Array:
    return bf16.stored(np.where(values > bound, values, np.float32(bound)))


def _smaller(values: Array, bound: float) -> Array:
    return bf16.stored(np.where(values < bound, values, np.float32(bound)))


@dataclass(frozen=True, kw_only=True)
class Bf16Split(Bf16Table):
    """upper[high byte of x] * lower[low byte of x], or their sum if `added`.

    inputs: x, upper, lower. The high byte has the sign and all of the exponent but its last
    bit, the low byte that bit and the mantissa: powers are products of such parts, logarithms
    sums. The bytes are those of the stored pattern.
    """

    added: bool = False

    def function(self, x: Array, first: Array, second: Array) -> Array:
        upper, lower = bf16.decode(first[x >> 8]), bf16.decode(second[x & 0xFF])
        return bf16.encode(bf16.add(upper, lower) if self.added else bf16.multiply(upper, lower))
