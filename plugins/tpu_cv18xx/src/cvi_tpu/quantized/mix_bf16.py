"""Weights in int8 for layers that compute in BF16: MIX_BF16 (FACTS_TOOLCHAIN 6.5).

Every row of a weight has a scale and a zero point of its own, and is BF16 again before the
compute engine multiplies with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from cvi.ir import Array
from cvi_tpu.quantized import bf16

STEPS = 128
"""Steps from the zero point, which is the middle of a row, to the largest weight."""

_BLOCK = 1 << 20  # weights in fp64 at a time


@dataclass(frozen=True)
class Int8Rows:
    """A weight in int8[rows, ...]; scale and zero: BF16 patterns [rows]."""

    weight: Array
    scale: Array
    zero: Array

    @property
    def patterns(self) -> Array:
        """The BF16 weights that the engine multiplies with."""
        return dequantise(self.weight, self.scale, self.zero)


def quantise_rows(weight: Array) -> Int8Rows:
    """The real, finite weight[rows, ...] in steps of its rows.

    zero = (max + min) / 2, scale = (max - zero) / 128; steps are rounded half up and
    saturate at 127, which the largest weight does. A row of one value has steps of 1 and that
    value as its scale.
    """
    rows = weight.reshape(len(weight), -1)
    most, least = (each.astype(np.float64) for each in (rows.max(axis=1), rows.min(axis=1)))
    even = most == least
    middle = (most + least) / 2
    reach = np.where(even, 1.0, most - middle)
    steps = np.empty(rows.shape, np.int8)
    for part in _blocks(rows):
        real = (rows[part] - middle[part, None]) * STEPS / reach[part, None]
        steps[part] = np.clip(np.floor(real + 0.5), -128, 127)
    steps[even] = 1
    return Int8Rows(
        weight=steps.reshape(weight.shape),
        scale=_patterns(np.where(even, most, reach / STEPS)),
        zero=_patterns(np.where(even, 0.0, middle)),
    )


def _patterns(values: Array) -> Array:
    return bf16.encode(values.astype(np.float32))


def dequantise(weight: Array, scale: Array, zero: Array) -> Array:
    """The patterns of weight * scale + zero as two instructions make them: the product and
    the sum are rounded to BF16 each (FACTS_TPU 3.3)."""
    rows = weight.reshape(len(weight), -1)
    factors, offsets = (bf16.decode(each)[:, None] for each in (scale, zero))
    patterns = np.empty(rows.shape, np.uint16)
    for part in _blocks(rows):
        scaled = bf16.encode(bf16.multiply(rows[part].astype(np.float32), factors[part]))
        patterns[part] = bf16.encode(bf16.add(bf16.decode(scaled), offsets[part]))
    return patterns.reshape(weight.shape)


def _blocks(rows: Array) -> Iterator[slice]:
    """Some rows at a time."""
    step = max(1, _BLOCK // max(1, rows.shape[1]))
    return (slice(first, first + step) for first in range(0, len(rows), step))
