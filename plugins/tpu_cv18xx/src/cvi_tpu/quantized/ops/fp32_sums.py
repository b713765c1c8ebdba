"""BF16 filters whose sums stay fp32 numbers: scores of a network's end.

Rounded to BF16, of scores from 16 on those that are less than 1/8 apart become equal, and the
best class is no longer known.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cvi.ir import Array, Op, TensorType
from cvi.ops.check import Types, operands, rank, require
from cvi_tpu.quantized import bf16
from cvi_tpu.quantized.bf16_sums import convolution
from cvi_tpu.quantized.ops.bf16_base import bf16s

PARTS = 3
"""BF16 numbers of eight bits that make up one fp32 number of 24."""

_MAX_FP32 = np.finfo(np.float32).max


@dataclass(frozen=True, kw_only=True)
class Fp32Conv(Op):
    """Products of an image with filters of its width, at every row, as fp32 sums.

    inputs: x bf16[n,ic,h,w], weight bf16[oc,ic,kh,w], parts bf16[oc,3] or "":
    fp32[n,oc,h-kh+1,1].
    The sum begins at 0 and takes passes of `step` channels (0: all in one), in each rows,
    columns, channels, then the parts of a bias in turn; every addition rounds toward zero
    (FACTS_TPU 3.3, 3.5). What has overflowed is the largest number.
    """

    step: int = 0

    def infer(self, inputs: Types) -> TensorType:
        x, weight = operands(self, inputs[:2], 2)
        bf16s(self, (x, weight))
        n, ic, h, w = rank(self, x, 4)
        oc, *depth, rows, columns = rank(self, weight, 4)
        fits = [*depth, columns] == [ic, w] and rows <= h
        require(self, fits, f"weight {weight} is not of the width and channels of {x}")
        parts = inputs[2]
        if parts is not None:
            bf16s(self, (parts,))
            require(self, parts.shape == (oc, PARTS), f"parts {parts} are not [{oc},{PARTS}]")
        return TensorType((n, oc, h - rows + 1, 1))

    def evaluate(self, *inputs: Array | None) -> Array:
        x, weight, parts = inputs
        assert x is not None and weight is not None
        sums = convolution(bf16.decode(x), bf16.decode(weight), (1, 1), step=self.step)
        if parts is not None:
            for part in bf16.decode(parts).T:
                sums = bf16.add(sums, part.reshape(-1, 1, 1))
        return np.where(np.isfinite(sums), sums, _MAX_FP32).astype(np.float32)


def parts_of(bias: Array) -> Array:
    """bf16[oc,3] whose sum is an fp32 bias[oc]."""
    rest, parts = bias.astype(np.float64), []
    for _ in range(PARTS):
        parts.append(bf16.encode(rest.astype(np.float32)))
        rest = rest - bf16.decode(parts[-1])
    return np.stack(parts, axis=1)
