"""A tensor in BF16 as rows: their sums, their largest values, their deviations.

A row lies in one lane, whole or in pieces: the image is [1, rows, pieces, elements].
"""

from __future__ import annotations

import math

import numpy as np

from cvi.ir import Array, DType, Op, Shape
from cvi.ops import Pad, Permute
from cvi_tpu.quantized.bf16 import encode
from cvi_tpu.quantized.bf16_tables import power
from cvi_tpu.quantized.ops import Bf16AddConstant, Bf16AvgPool2d, Bf16MaxPool2d, Bf16Mul, Bf16Sub
from cvi_tpu.quantized.rewriter import Chain, Operand, Rewriter
from cvi_tpu.quantized.rules.bf16_functions import split
from cvi_tpu.quantized.rules.planes import pieces

NEVER_LARGEST = -(2.0**96)
"""Fills rows of which the largest value is wanted; any number less it is finite."""


class Rows:
    """A tensor seen as rows along some axes, and the chain that computes on it."""

    def __init__(
        self, op: Op, to: Rewriter, axes: tuple[int, ...], padding: float, width: int = 0
    ) -> None:
        """padding: what fills the last piece. width: of a piece, 0 for as long as can be."""
        self.op, self.to = op, to
        x = to.bf16(op.inputs[0])
        self._shape = x.shape
        kept = tuple(i for i in range(len(x.shape)) if i not in axes)
        self._order = kept + axes
        self.outer = math.prod(x.shape[i] for i in kept)
        self.length = math.prod(x.shape[i] for i in axes)
        self.pieces = (
            math.ceil(self.length / width) if width else pieces(self.length, to.spec.max_size)
        )
        self.width = width or math.ceil(self.length / self.pieces)
        self.x = self._laid_out(x, padding)

    def _laid_out(self, x: Operand, padding: float) -> Operand:
        """The image [1, rows, pieces, elements]."""
        chain = Chain(self.to, self.op, x)
        if self._order != tuple(range(len(x.shape))):
            chain.then("rows_last", Permute(name="", inputs=("",), order=self._order))
        chain.reshape("rows", (1, self.outer, 1, self.length))
        if self.filled:
            after = (0, 0, 0, self.filled)
            pad = Pad(name="", inputs=("",), before=(0,) * 4, after=after, value=padding)
            chain.then("filled", pad)
        chain.reshape("pieces", (1, self.outer, self.pieces, self.width))
        return chain.end()

    @property
    def filled(self) -> int:
        """How many elements at the end of a row are no part of it."""
        return self.pieces * self.width - self.length

    def along(self, values: Array, suffix: str) -> Operand:
        """A constant with an element for each place in a row, 0 behind its end; all rows have
        it."""
        shape = (1, 1, self.pieces, self.width)
        places = np.pad(values.reshape(-1).astype(np.float32), (0, self.filled))
        name = self.to.store(self.op.name, suffix, encode(places).reshape(shape))
        return Operand(name, shape, 1.0, DType.BF16)

    def chain(self, x: Operand | None = None) -> Chain:
        """A chain that starts at an operand, the rows unless said otherwise."""
        return Chain(self.to, self.op, x or self.x)

    def largest(self, chain: Chain) -> None:
        """Append the largest value of each row."""
        for i, kernel in enumerate(self._kernels()):
            chain.then(f"largest_{i}", Bf16MaxPool2d(name="", inputs=("",), kernel=kernel))

    def sum(self, chain: Chain, factor: float = 1.0) -> None:
        """Append the sum of each row, whose elements are multiplied by a factor."""
        for i, kernel in enumerate(self._kernels()):
            factors = ((kernel[0] * kernel[1], 1.0 if i else factor),)
            pool = Bf16AvgPool2d(name="", inputs=("",), kernel=kernel, factors=factors)
            chain.then(f"sum_{i}", pool)

    def centred(self) -> Operand:
        """The rows, which are filled with 0, less their mean; what fills them stays 0.

        A mean is known to eight bits only: that of what is left is subtracted once more.
        """
        centred = self.x
        for _ in range(2):
            mean = self.chain(centred)
            self.sum(mean, 1 / self.length)
            less = self.chain(centred)
            less.then("centred", Bf16Sub(name="", inputs=("", mean.end().name)))
            if self.filled:
                places = self.along(np.ones(self.length), "places")
                less.then("row", Bf16Mul(name="", inputs=("", places.name)))
            centred = less.end()
        return centred

    def squares(self, x: Operand, freedom: float) -> Chain:
        """The sum of the squares of each row of x, divided by a number."""
        chain = self.chain(x)
        chain.then("square", Bf16Mul(name="", inputs=("", x.name)))
        self.sum(chain, 1 / freedom)
        return chain

    def normalised(self, eps: float) -> Chain:
        """The rows less their mean, times the root of the reciprocal of the mean square."""
        centred = self.centred()
        spread = self.squares(centred, self.length)
        spread.then("variance", Bf16AddConstant(name="", inputs=("",), value=eps))
        split(spread, "factor", power(-0.5))
        chain = self.chain(centred)
        chain.then("normal", Bf16Mul(name="", inputs=("", spread.end().name)))
        return chain

    def _kernels(self) -> list[tuple[int, int]]:
        """Windows over the elements of a piece, then over the pieces."""
        across = [(self.pieces, 1)] if self.pieces > 1 else []
        return [(1, self.width), *across]

    def restore(self, chain: Chain) -> None:
        """Append what brings rows back into the shape of the operand."""
        permuted: Shape = tuple(self._shape[i] for i in self._order)
        if self.filled:
            chain.reshape("joined", (1, self.outer, 1, self.pieces * self.width))
            chain.cut("unfilled", (1, self.outer, 1, self.length))
        chain.reshape("axes", permuted)
        back = tuple(int(i) for i in np.argsort(self._order))
        if back != tuple(range(len(back))):
            chain.then("order", Permute(name="", inputs=("",), order=back))
