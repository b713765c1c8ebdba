"""Sums of squares, exact although a square of int8 has 14 bits."""

from __future__ import annotations

import numpy as np

from cvi.ir import Array
from cvi.ops import Concat, Reshape, SquareSum
from cvi_tpu.quantized.ops import Int8Conv2d, Int8Lut
from cvi_tpu.quantized.ops.unary import BYTES
from cvi_tpu.quantized.registry import quantizes
from cvi_tpu.quantized.rewriter import Chain, Operand, Rewriter
from cvi_tpu.quantized.rules.dense import as_image
from cvi_tpu.quantized.scales import STEPS, rate


@quantizes(SquareSum)
def square_sum(op: SquareSum, to: Rewriter) -> None:
    """Two tables give a square as 127 * high + low; a convolution of single pixels with the
    weights 127 and 1 adds them up in 32 bits, and only the sum is rounded.

    A step of the result is never less than that of a square, as QDM only divides.
    """
    x = _image(op, to)
    unit = x.scale**2
    scale = max(to.scale(op.name), unit * (1 + 2.0**-30))
    high, low = np.divmod(np.minimum(np.abs(BYTES.astype(np.int32)), STEPS) ** 2, STEPS)
    halves = [
        _half(op, to, x, name, table.astype(np.int8), step)
        for name, table, step in (("high", high, unit * STEPS), ("low", low, unit))
    ]
    chain = Chain(to, op, halves[0])
    chain.then("squares", Concat(name="", inputs=("", halves[1].name), axis=1))
    band = op.band(x.shape[1])
    weight = np.concatenate([band * np.int8(STEPS), band], axis=1)[:, :, None, None]
    multiplier, shift = rate(unit / scale)
    constants = {
        "weight": weight,
        "multiplier": np.full(len(band), multiplier, np.uint32),
        "shift": np.full(len(band), shift, np.uint8),
    }
    weights, *rates = (to.store(op.name, name, array) for name, array in constants.items())
    conv = Int8Conv2d(name="", inputs=("", weights, "", *rates), out_scale=scale)
    chain.then("conv", conv)
    chain.reshape("shape", op.type.shape)
    chain.close()


def _image(op: SquareSum, to: Rewriter) -> Operand:
    """The operand as [n, c, h, w]."""
    x = to.int8(op.inputs[0])
    shape = as_image(x.shape)
    if shape == x.shape:
        return x
    return to.add(Reshape(name=to.fresh(op.name, "image"), inputs=(x.name,), shape=shape))


def _half(
    op: SquareSum, to: Rewriter, x: Operand, name: str, table: Array, scale: float
) -> Operand:
    stored = to.store(op.name, f"{name}_table", table)
    lookup = Int8Lut(name=to.fresh(op.name, name), inputs=(x.name, stored), out_scale=scale)
    return to.add(lookup)
