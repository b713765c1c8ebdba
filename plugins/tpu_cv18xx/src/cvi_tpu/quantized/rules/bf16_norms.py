"""What is computed along the rows of a tensor in BF16: softmax, norms, deviations, means."""

from __future__ import annotations

import math

import numpy as np

from cvi.ir import DType, Graph
from cvi.ops import AvgPool2d, InstanceNorm, LayerNorm, Softmax, SquarePower, Std
from cvi.ops.normalise import window_of
from cvi_tpu.chip import ChipSpec
from cvi_tpu.quantized.bf16_tables import lines, logarithm, power
from cvi_tpu.quantized.ops import Bf16Add, Bf16MaxConstant, Bf16Mul, Bf16Sub
from cvi_tpu.quantized.registry import quantizes, requires
from cvi_tpu.quantized.rewriter import Chain, Rewriter
from cvi_tpu.quantized.rules.bf16_filters import convolve_bf16
from cvi_tpu.quantized.rules.bf16_functions import interpolated, split
from cvi_tpu.quantized.rules.bf16_rows import NEVER_LARGEST, Rows
from cvi_tpu.quantized.rules.dense import as_image
from cvi_tpu.quantized.rules.filters import Window
from cvi_tpu.quantized.rules.instance_norm import is_plain
from cvi_tpu.quantized.rules.planes import fits_in_lane, is_long, is_whole, pieces
from cvi_tpu.quantized.rules.pool import avg_pool

RowOp = Softmax | LayerNorm | InstanceNorm | Std


def axes_of(op: RowOp) -> tuple[int, ...]:
    """The axes along which a row lies."""
    if isinstance(op, Softmax):
        return (op.axis,)
    if isinstance(op, Std):
        return op.axes
    first = op.axis if isinstance(op, LayerNorm) else 2
    return tuple(range(first, len(op.type.shape)))


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
def row_fits(op: RowOp, graph: Graph, spec: ChipSpec) -> bool:
    """a row has more pieces than fit into a lane

    reduce in two steps
    """
    shape = graph.type_of(op.inputs[0]).shape
    length = math.prod(shape[i] for i in axes_of(op))
    return fits_in_lane((pieces(length, spec.max_size), 1), spec, DType.BF16)


@quantizes(AvgPool2d, precision=DType.BF16)
def mean(op: AvgPool2d, to: Rewriter) -> None:
    """The sums of whole images that no window can be, by pieces and then of those, each
    rounded; all other means as in INT8."""
    if not is_whole(op, to.source.type_of(op.inputs[0]).shape) or _is_window(op, to.spec):
        avg_pool(op, to)
        return
    rows = Rows(op, to, (2, 3), 0.0)
    chain = rows.chain()
    rows.sum(chain, 1 / rows.length)
    if op.relu:
        chain.then("positive", Bf16MaxConstant(name="", inputs=("",), value=0.0))
    chain.reshape("shape", op.type.shape)
    chain.close()


def _is_window(op: AvgPool2d, spec: ChipSpec) -> bool:
    return not is_long(op, spec) and fits_in_lane(op.kernel, spec, DType.BF16)


@requires(AvgPool2d, precision=DType.BF16)
def wide_window_fits(op: AvgPool2d, graph: Graph, spec: ChipSpec) -> bool:
    """a window is larger than half of a lane's memory and not the whole image

    pool in two layers, e.g. 8x8 before the larger window
    """
    return is_whole(op, graph.type_of(op.inputs[0]).shape) or _is_window(op, spec)
