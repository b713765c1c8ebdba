"""Transposed convolutions: convolutions of an input with zeros between its pixels."""

from __future__ import annotations

import numpy as np

from cvi.ir import Array, Graph
from cvi.ops import ConvTranspose2d, Slice
from cvi_tpu.chip import ChipSpec
from cvi_tpu.quantized.ops import Pair
from cvi_tpu.quantized.registry import TPU, quantizes, requires
from cvi_tpu.quantized.rewriter import Chain, Rewriter
from cvi_tpu.quantized.rules.bf16_filters import filtered
from cvi_tpu.quantized.rules.conv import constants_of, filter_is_constant
from cvi_tpu.quantized.rules.filters import Window

requires(ConvTranspose2d, precision=TPU)(filter_is_constant)


@quantizes(ConvTranspose2d, precision=TPU)
def conv_transpose(op: ConvTranspose2d, to: Rewriter) -> None:
    """A convolution with stride - 1 rows and columns inserted and the filter turned round.

    Pads are dilation * (kernel - 1) - pad (plus output_padding at the end); what would
    be negative is cut off the result.
    """
    x = to.operand(op.inputs[0])
    weight, bias = constants_of(op, to)
    kernel = turned(weight, op.group)
    pads = _pads(op, (kernel.shape[2], kernel.shape[3]))
    window = Window(
        pads=(max(pads[0], 0), max(pads[1], 0), max(pads[2], 0), max(pads[3], 0)),
        dilation=op.dilation,
        insert=_insert(op, x.shape),
        group=op.group,
    )
    chain = Chain(to, op, x)
    filtered(chain, x, window, kernel, bias, relu=op.relu, relu_max=op.relu_max)
    if min(pads) < 0:
        starts = (0, 0, max(-pads[0], 0), max(-pads[1], 0))
        cut = Slice(name="", inputs=("",), starts=starts, sizes=op.type.shape, steps=(1,) * 4)
        chain.then("cut", cut)
    chain.close()


def turned(weight: Array, group: int) -> Array:
    """weight[ic, oc/g, kh, kw] as [oc, ic/g, kh, kw], turned by 180 degrees."""
    ic, ocg, kh, kw = weight.shape
    split = weight.reshape(group, ic // group, ocg, kh, kw).swapaxes(1, 2)
    return np.ascontiguousarray(split.reshape(group * ocg, ic // group, kh, kw)[:, :, ::-1, ::-1])


def _pads(op: ConvTranspose2d, kernel: Pair) -> tuple[int, ...]:
    reach = [d * (k - 1) for d, k in zip(op.dilation, kernel, strict=True)] * 2
    extra = (0, 0, *op.output_padding)
    return tuple(r - pad + e for r, pad, e in zip(reach, op.pads, extra, strict=True))


def _insert(op: ConvTranspose2d, shape: tuple[int, ...]) -> Pair:
    """Zeros between neighbours; a single row or column has no neighbours."""
    rows, columns = (
        0 if size == 1 else step - 1 for size, step in zip(shape[2:], op.stride, strict=True)
    )
    return rows, columns


@requires(ConvTranspose2d, precision=TPU)
def insertions_in_range(op: ConvTranspose2d, graph: Graph, spec: ChipSpec) -> bool:
    """the stride exceeds what the chip can do in a transposed convolution (16; CV182x 15)

    use two transposed convolutions, or an Upsample and a convolution
    """
    shape = graph.type_of(op.inputs[0]).shape
    return max(_insert(op, shape)) <= spec.max_insert
