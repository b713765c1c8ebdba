"""Functions of one tensor: clamps, tables of 256 values, PRelu."""

from __future__ import annotations

import math

import numpy as np

from cvi.ir import Array
from cvi.ops import Clip, Log, Pow, PRelu, Reciprocal, Relu, Unary
from cvi_tpu.quantized.ops import Int8Add, Int8Clip, Int8Lut
from cvi_tpu.quantized.ops.unary import BYTES
from cvi_tpu.quantized.registry import quantizes, requires
from cvi_tpu.quantized.requantise import to_int8
from cvi_tpu.quantized.rewriter import Chain, Rewriter, requant
from cvi_tpu.quantized.rules.conv import constants_of, filter_is_constant
from cvi_tpu.quantized.rules.dense import as_image
from cvi_tpu.quantized.rules.filters import Window, convolve
from cvi_tpu.quantized.scales import STEPS, same_scale, to_steps

requires(PRelu)(filter_is_constant)


@quantizes(Relu)
def relu(op: Relu, to: Rewriter) -> None:
    """Limited to [0, maximum] in the operand's steps."""
    x = to.int8(op.inputs[0])
    top = STEPS if op.maximum is None else max(to_steps(op.maximum, x.scale), 0)
    to.define_int8(
        Int8Clip(
            name=op.name, inputs=(x.name,), source=op.source, out_scale=x.scale,
            minimum=0, maximum=top,
        )
    )  # fmt: skip


@quantizes(Clip)
def clip(op: Clip, to: Rewriter) -> None:
    """Limited to the bounds in the operand's steps."""
    x = to.int8(op.inputs[0])
    maximum = to_steps(op.maximum, x.scale)
    minimum = min(to_steps(op.minimum, x.scale), maximum)
    to.define_int8(
        Int8Clip(
            name=op.name, inputs=(x.name,), source=op.source, out_scale=x.scale,
            minimum=minimum, maximum=maximum,
        )
    )  # fmt: skip


@quantizes(Unary)
def unary(op: Unary, to: Rewriter) -> None:
    """A table of the function's value for each of the 256 operands."""
    x = to.int8(op.inputs[0])
    y_scale = min(to.scale(op.name), _largest(op, x.scale) / STEPS)
    table = to.store(op.name, "table", table_of(op, x.scale, y_scale))
    to.define_int8(
        Int8Lut(name=op.name, inputs=(x.name, table), source=op.source, out_scale=y_scale)
    )


def _largest(op: Unary, x_scale: float) -> float:
    """What a function with a pole can give besides at the pole, infinity for others.

    Calibration sees what lies closer to the pole than any step: its threshold would leave
    no steps for the rest.
    """
    if not (isinstance(op, Pow) and op.exponent < 0) and not isinstance(op, Reciprocal):
        return math.inf
    with np.errstate(all="ignore"):
        values = np.abs(op.function(BYTES.astype(np.float64)[BYTES != 0] * x_scale))
    return float(values[np.isfinite(values)].max(initial=0)) or math.inf


def table_of(op: Unary, x_scale: float, y_scale: float) -> Array:
    """int8[256] by the unsigned byte of x: f(x * x_scale) / y_scale, computed in fp64,
    rounded half away from zero and saturated.

    Outside of the function's domain: infinities saturate (1/0 and log 0 too), the
    logarithm of a negative number is the lowest value, every other NaN is 0.
    """
    x = BYTES.astype(np.float64) * x_scale
    if isinstance(op, Log):
        x = np.maximum(x, 0)
    with np.errstate(all="ignore"):
        return to_int8(np.asarray(op.function(x), np.float64) / y_scale)


@quantizes(PRelu)
def prelu(op: PRelu, to: Rewriter) -> None:
    """The positive part and the negative part times its slopes, added.

    Wherever one part is not zero the other one is, so that the sum is exact.
    """
    x = to.int8(op.inputs[0])
    y_scale = to.scale(op.name)
    slopes, _ = constants_of(op, to)
    keep = Int8Clip(name="", out_scale=x.scale, minimum=0, maximum=STEPS)
    rest = to.add(
        Int8Clip(
            name=to.fresh(op.name, "negative"), inputs=(x.name,), out_scale=x.scale,
            minimum=-128, maximum=0,
        )
    )  # fmt: skip
    grow = keep if same_scale(x.scale, y_scale) else requant(x.scale, y_scale, relu=True)
    positive = to.add(grow.with_(name=to.fresh(op.name, "positive"), inputs=(x.name,)))
    chain = Chain(to, op, rest)
    chain.reshape("image", as_image(x.shape))
    window = Window(group=len(slopes))
    convolve(chain, rest, window, slopes.reshape(-1, 1, 1, 1), None, relu=False)
    chain.reshape("sloped", x.shape)
    add = Int8Add(
        name="", inputs=("", positive.name), out_scale=y_scale, multipliers=(1, 1), shift=0
    )
    chain.then("sum", add)
    chain.close()
