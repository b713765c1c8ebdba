"""What is computed along the rows of a tensor in BF16: sums, largest values, softmax.

A row lies in one lane, whole or in pieces: the image is [1, rows, pieces, elements].
"""

from __future__ import annotations

import math

import numpy as np

from cvi.ir import Array, DType, Graph, Op, Shape
from cvi.ops import InstanceNorm, LayerNorm, Pad, Permute, Softmax, SquarePower, Std
from cvi.ops.normalise import window_of
from cvi_tpu.chip import ChipSpec
from cvi_tpu.quantized.bf16 import encode
from cvi_tpu.quantized.bf16_tables import lines, logarithm, power
from cvi_tpu.quantized.ops import (
    Bf16Add,
    Bf16AddConstant,
    Bf16AvgPool2d,
    Bf16MaxPool2d,
    Bf16Mul,
    Bf16Sub,
)
from cvi_tpu.quantized.registry import quantizes, requires
from cvi_tpu.quantized.rewriter import Chain, Operand, Rewriter
from cvi_tpu.quantized.rules.bf16_filters import convolve_bf16
from cvi_tpu.quantized.rules.bf16_functions import interpolated, split
from cvi_tpu.quantized.rules.dense import as_image
from cvi_tpu.quantized.rules.filters import Window
from cvi_tpu.quantized.rules.instance_norm import is_plain
from cvi_tpu.quantized.rules.pool import fits_in_lane

NEVER_LARGEST = -(2.0**96)
"""Fills rows of which the largest value is wanted; any number less it is finite."""


def axes_of(op: Softmax | LayerNorm | InstanceNorm | Std) -> tuple[int, ...]:
    """The axes along which a row lies."""
    if isinstance(op, Softmax):
        return (op.axis,)
    if isinstance(op, Std):
        return op.axes
    first = op.axis if isinstance(op, LayerNorm) else 2
    return tuple(range(first, len(op.type.shape)))


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


def pieces(length: int, most: int) -> int:
    """Into how many pieces of up to `most` elements a row is cut: equal ones if it can be."""
    least = math.ceil(length / most)
    equal = (n for n in range(least, min(4 * least, most) + 1) if length % n == 0)
    return next(equal, least)


@quantizes(Softmax, precision=DType.BF16)
def softmax(op: Softmax, to: Rewriter) -> None:
    """exp(x - largest) by lines down to -16 and 0 below, times the reciprocal of its sum.

    The logarithm is x - largest - ln of the sum.
    """
    rows = Rows(op, to, axes_of(op), NEVER_LARGEST)
    largest = rows.chain()
    rows.largest(largest)
    below = rows.chain()
    below.then("below", Bf16Sub(name="", inputs=("", largest.end().name)))
    distance = below.end()
    chain = rows.chain(distance)
    interpolated(chain, "exp", lines(np.exp, 16, below_zero=True, low=0.0))
    exponentials = chain.end()
    total = rows.chain(exponentials)
    rows.sum(total)
    if op.log:
        split(total, "log", logarithm(), added=True)
        result = rows.chain(distance)
        result.then("result", Bf16Sub(name="", inputs=("", total.end().name)))
    else:
        split(total, "reciprocal", power(-1))
        result = rows.chain(exponentials)
        result.then("result", Bf16Mul(name="", inputs=("", total.end().name)))
    rows.restore(result)
    result.close()


@quantizes(LayerNorm, precision=DType.BF16)
def layer_norm(op: LayerNorm, to: Rewriter) -> None:
    """The rows normalised, then times gamma and plus beta."""
    rows = Rows(op, to, axes_of(op), 0.0)
    chain = rows.normalised(op.eps)
    for suffix, kind, name in zip(
        ("gamma", "beta"), (Bf16Mul, Bf16Add), (*op.inputs[1:], "", ""), strict=False
    ):
        values = to.constant(name)
        if values is not None:
            chain.then(suffix, kind(name="", inputs=("", rows.along(values, suffix).name)))
    rows.restore(chain)
    chain.close()


@quantizes(InstanceNorm, precision=DType.BF16)
def instance_norm(op: InstanceNorm, to: Rewriter) -> None:
    """The planes normalised; gamma is 1 and beta 0."""
    rows = Rows(op, to, axes_of(op), 0.0)
    chain = rows.normalised(op.eps)
    rows.restore(chain)
    chain.close()


@quantizes(Std, precision=DType.BF16)
def deviation(op: Std, to: Rewriter) -> None:
    """The root of the sum of squares by n - correction."""
    rows = Rows(op, to, axes_of(op), 0.0)
    chain = rows.squares(rows.centred(), rows.length - op.correction)
    split(chain, "root", power(0.5))
    chain.reshape("shape", op.type.shape)
    chain.close()


requires(InstanceNorm, precision=DType.BF16)(is_plain)


@requires(LayerNorm, precision=DType.BF16)
def parameters_are_constant(op: LayerNorm, graph: Graph, spec: ChipSpec) -> bool:
    """gamma or beta is computed

    multiply and add in layers of their own
    """
    return all(not name or name in graph.constants for name in op.inputs[1:])


@quantizes(SquarePower, precision=DType.BF16)
def square_power(op: SquarePower, to: Rewriter) -> None:
    """Squares, their sum as a convolution of single pixels, and the power by tables."""
    x = to.bf16(op.inputs[0])
    chain = Chain(to, op, x)
    chain.reshape("image", as_image(x.shape))
    chain.then("square", Bf16Mul(name="", inputs=("", chain.end().name)))
    weight = window_of(op.size, x.shape[1]) * op.scale
    shift = np.full(len(weight), op.shift, np.float32)
    convolve_bf16(chain, Window(), weight.reshape(*weight.shape, 1, 1), shift)
    if op.exponent != 1:
        split(chain, "power", power(op.exponent))
    chain.reshape("shape", op.type.shape)
    chain.close()


@requires(Softmax, LayerNorm, InstanceNorm, Std, precision=DType.BF16)
def row_fits(op: Softmax | LayerNorm | InstanceNorm | Std, graph: Graph, spec: ChipSpec) -> bool:
    """a row has more pieces than fit into a lane

    reduce in two steps
    """
    shape = graph.type_of(op.inputs[0]).shape
    length = math.prod(shape[i] for i in axes_of(op))
    return fits_in_lane((pieces(length, spec.max_size), 1), spec, DType.BF16)
