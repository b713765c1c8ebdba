"""Resizing that is more than repeating pixels: convolutions with the weights of the
interpolation."""

from __future__ import annotations

import numpy as np

from cvi.ir import Array, DType
from cvi.ops import Pad, Permute, Resize
from cvi_tpu.quantized.ops import Pair
from cvi_tpu.quantized.registry import TPU, quantizes
from cvi_tpu.quantized.rewriter import Chain, Operand, Rewriter
from cvi_tpu.quantized.rules.bf16_filters import convolve_bf16
from cvi_tpu.quantized.rules.filters import Window, convolve_quantised
from cvi_tpu.quantized.scales import STEPS
from cvi_tpu.quantized.weights import real_filter

MOST = 6
"""A linear enlargement by f has weights in whole numbers up to (2f - 1)^2 (f even) or f^2
(f odd); up to this factor they are exact in int8."""


@quantizes(Resize, precision=TPU)
def resize(op: Resize, to: Rewriter) -> None:
    """Linear by a small whole factor: a transposed depthwise convolution. All else: the
    product with the interpolation's matrix along each axis."""
    x = to.operand(op.inputs[0])
    chain = Chain(to, op, x)
    factor = whole_factor(op, (x.shape[2], x.shape[3]))
    if factor is not None:
        _enlarge(chain, x, factor)
    else:
        _multiply(chain, x, op)
    chain.close()


def whole_factor(op: Resize, size: Pair) -> int | None:
    """The factor of a linear enlargement by pixel centres, None for all other resizes."""
    factor = op.size[0] // size[0]
    fits = op.mode == "linear" and op.coordinates in ("half_pixel", "pytorch_half_pixel")
    whole = op.size == (factor * size[0], factor * size[1]) and op.scales == (factor, factor)
    return factor if fits and whole and 2 <= factor <= MOST else None


def _enlarge(chain: Chain, x: Operand, factor: int) -> None:
    """A pixel adds to the results around its centre, the less the farther they are; at
    the border the edge counts once more."""
    channels = x.shape[1]
    reach = np.arange(1, factor + 1) if factor % 2 else np.arange(1, 2 * factor, 2)
    taps = np.concatenate([reach, reach[::-1][factor % 2 :]])
    products, unit = np.outer(taps, taps), 1 / (factor if factor % 2 else 2 * factor) ** 2
    weight = np.tile(products * unit, (channels, 1, 1, 1))
    edge = (0, 0, 1, 1)
    chain.then("edge", Pad(name="", inputs=("",), before=edge, after=edge, mode="edge"))
    # The first pixel's centre is at (factor - 1) / 2, that of its taps in their middle.
    margin = (len(taps) + factor) // 2 - 1 - factor
    pads = (margin,) * 4
    window = Window(insert=(factor - 1, factor - 1), pads=pads, group=channels)
    if x.dtype is DType.BF16:
        convolve_bf16(chain, window, weight, None)
        return
    step = unit / (STEPS // int(products.max()))  # a whole number of steps is one unit
    y_scale = chain.to.scale(chain.layer.name)
    thresholds = [step * STEPS] * channels
    kernel = real_filter(
        weight, None, x.scale, y_scale, where=chain.layer.name, thresholds=thresholds
    )
    convolve_quantised(chain, x, window, kernel.nearest(), y_scale)


def _multiply(chain: Chain, x: Operand, op: Resize) -> None:
    """Rows, then columns, as channels of a convolution of single pixels.

    The rows keep the operand's scale (a mean does not exceed what it is of). A nearest
    neighbour has the weight 1, which is exact.
    """
    y_scale = 1.0 if x.dtype is DType.BF16 else chain.to.scale(op.name)
    chain.then("rows_first", Permute(name="", inputs=("",), order=(0, 2, 1, 3)))
    _product(chain, x, op.matrix(0, x.shape[2]), x.scale)
    chain.then("columns_first", Permute(name="", inputs=("",), order=(0, 3, 2, 1)))
    _product(chain, x, op.matrix(1, x.shape[3]), y_scale)
    chain.then("image", Permute(name="", inputs=("",), order=(0, 2, 3, 1)))


def _product(chain: Chain, x: Operand, matrix: Array, y_scale: float) -> None:
    weight = matrix.reshape(*matrix.shape, 1, 1)
    if x.dtype is DType.BF16:
        convolve_bf16(chain, Window(), weight, None)
        return
    kernel = real_filter(weight, None, x.scale, y_scale, where=chain.layer.name)
    convolve_quantised(chain, x, Window(), kernel.nearest(), y_scale)
