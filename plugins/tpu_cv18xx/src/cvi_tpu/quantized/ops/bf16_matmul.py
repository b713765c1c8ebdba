"""The BF16 product of two computed matrices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cvi.ir import Array, TensorType
from cvi.ops.check import Types, broadcast, operands, positive, require
from cvi_tpu.quantized import bf16
from cvi_tpu.quantized.bf16_sums import products
from cvi_tpu.quantized.ops.bf16_base import Bf16Op, bf16s

UNIT = 8
"""Columns that a lane computes at a time."""


@dataclass(frozen=True, kw_only=True)
class Bf16MatMul(Bf16Op):
    """relu(a @ b) with fp32 sums.

    inputs: a bf16[..., M, K] and b bf16[..., K, N]; the leading dims broadcast as in
    numpy.matmul, and the ranks may differ. The sum takes passes of `step` elements (0: all in
    one). In a pass a row of a is spread over `lanes` in pieces; all first elements of the
    pieces are summed, then all second ones, and so on (FACTS_TPU 2.2, 3.7). Every addition
    rounds toward zero, the result to nearest even.
    """

    lanes: int
    step: int = 0
    relu: bool = False

    def infer(self, inputs: Types) -> TensorType:
        a, b = operands(self, inputs, 2)
        bf16s(self, inputs)
        positive(self, "lanes", (self.lanes,))
        fits = min(len(a.shape), len(b.shape)) >= 2 and a.shape[-1] == b.shape[-2]
        require(self, fits, f"{a} and {b} do not fit")
        lead = broadcast(self, a.shape[:-2], b.shape[:-2])
        return self.result((*lead, a.shape[-2], b.shape[-1]))

    def evaluate(self, *inputs: Array | None) -> Array:
        a, b = (bf16.decode(x) for x in inputs if x is not None)
        order, step = self._order(a.shape[-1])
        return self._finished(products(a, b, order, step))

    def estimate(self, *inputs: Array | None) -> Array:
        a, b = (bf16.decode(x) for x in inputs if x is not None)
        return self._finished(np.matmul(a, b))

    def _finished(self, sums: Array) -> Array:
        return bf16.encode(bf16.relu(sums) if self.relu else sums)

    def _order(self, depth: int) -> tuple[Array, int]:
        """In which order the elements of a row are summed; how many a pass has."""
        step = self.step or depth
        parts = []
        for first in range(0, depth, step):
            count = min(step, depth - first)
            width = piece(count, self.lanes)
            elements = np.arange(count)
            order = np.lexsort((elements // width, elements % width))
            parts.append(first + elements[order])
        return np.concatenate(parts), step


def piece(columns: int, lanes: int) -> int:
    """Width of the pieces of a row that is spread over all lanes in whole units."""
    return min(columns, UNIT * -(-columns // (UNIT * lanes)))
