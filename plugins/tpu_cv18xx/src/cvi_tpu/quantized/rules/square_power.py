"""Powers of sums of squares, which span many more magnitudes than 8 bits hold.

The sum itself is exact in 32 bits. It is rounded to several forms of 8 bits with ever finer
steps (one convolution gives all of them); of those that do not saturate the finest is the
best.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cvi.ir import Array, Graph, Shape
from cvi.ops import Concat, Reshape, Slice, SquarePower
from cvi.ops.normalise import window_of
from cvi_tpu.chip import ChipSpec
from cvi_tpu.quantized.ops import Int8Conv2d, Int8Lut, Int8Max
from cvi_tpu.quantized.ops.unary import BYTES
from cvi_tpu.quantized.registry import quantizes, requires
from cvi_tpu.quantized.requantise import to_int8
from cvi_tpu.quantized.rewriter import Chain, Operand, Rewriter
from cvi_tpu.quantized.rules.dense import as_image
from cvi_tpu.quantized.scales import STEPS, rate

FINER = 8
"""How much finer each further form is. The coarser one serves where that one saturates, so
from STEPS / FINER steps on: a step is at most 1/16 of the sum."""

MOST_FORMS = 5

WIDE = 8
"""Powers that differ by a larger factor get two scales: 7 bits are too few for one."""

NEVER = -128
"""The code of what a form cannot tell."""

MOST_SUMMED = (2**31 - 1) // STEPS**2
"""Squares that 32 bits hold the sum of."""


@quantizes(SquarePower)
def square_power(op: SquarePower, to: Rewriter) -> None:
    """One form: a table gives the power of the sum.

    Several: a table for each gives a code of the sum's logarithm; the largest code is that
    of the finest form that can tell; a table of the codes gives the power.
    """
    x = _image(op, to)
    steps = _steps(op, to, x)
    index = _sums(op, to, x, steps)
    largest, least = steps[0] * STEPS, _noise(op, x)
    if len(steps) == 1:
        totals = np.maximum(BYTES, 0) * steps[0]
    else:
        codes = Codes(min(least, largest / 2), largest)
        index, totals = _coded(op, to, index, steps, codes), codes.totals
    with np.errstate(all="ignore"):
        powers = op.function(totals)
    top = to.scale(op.name) * STEPS
    if op.exponent < 0:  # close to its pole calibration sees what would leave no steps
        top = min(top, float(op.function(np.float64(min(least, largest)))))
    bottom = float(op.function(np.float64(largest)))
    if op.exponent < 0 and top > WIDE * bottom:
        _define_parts(op, to, index, powers, math.sqrt(top * bottom), top)
    else:
        _define(op, to, index, powers, top)


def _define(op: SquarePower, to: Rewriter, index: Operand, powers: Array, top: float) -> None:
    table = to.store(op.name, "table", to_int8(powers / (top / STEPS)))
    chain = Chain(to, op, index)
    chain.then("power", Int8Lut(name="", inputs=("", table), out_scale=top / STEPS))
    chain.reshape("shape", op.type.shape)
    chain.close()


def _define_parts(
    op: SquarePower, to: Rewriter, index: Operand, powers: Array, middle: float, top: float
) -> None:
    """The power as a part up to the middle with fine steps and one above with coarse."""
    parts = []
    for name, bound, here in (
        ("small", middle, powers <= middle), ("large", top, powers > middle)
    ):  # fmt: skip
        scale = bound / STEPS
        table = to_int8(np.where(here, powers, 0) / scale)
        part = _lookup(op, to, index.name, name, table, scale)
        if part.shape != op.type.shape:
            shaped = to.fresh(op.name, f"{name}_shape")
            part = to.add(Reshape(name=shaped, inputs=(part.name,), shape=op.type.shape))
        parts.append(part)
    to.define_parts(op.name, parts)


# -- the sum --------------------------------------------------------------------------


def _noise(op: SquarePower, x: Operand) -> float:
    """A sum as large as the rounding of x makes one: a power of less means nothing."""
    return max((op.size or x.shape[1]) / 12, 1.0) * x.scale**2


def _steps(op: SquarePower, to: Rewriter, x: Operand) -> list[float]:
    """Real values of a step of the sum: from that which holds its largest value down to
    where a step is small beside the noise or the shift."""
    unit = x.scale**2
    largest = min(_calibrated(op, to), (op.size or x.shape[1]) * STEPS**2 * unit)
    steps = [max(largest / STEPS, unit)]
    enough = max(unit, _noise(op, x) / 16, op.shift / op.scale / 32)
    while steps[-1] > enough and len(steps) < MOST_FORMS:
        steps.append(max(steps[-1] / FINER, unit))
    return steps


def _calibrated(op: SquarePower, to: Rewriter) -> float:
    """The largest sum that calibration saw, infinity when it is not known."""
    extreme = to.least(op.name) if op.exponent < 0 else to.scale(op.name) * STEPS
    if extreme <= 0:
        return math.inf
    with np.errstate(all="ignore"):
        base = float(np.float64(extreme) ** (1 / op.exponent))
    return max(base - op.shift, 0.0) / op.scale


def _image(op: SquarePower, to: Rewriter) -> Operand:
    """The operand as [n, c, h, w]."""
    x = to.int8(op.inputs[0])
    shape = as_image(x.shape)
    if shape == x.shape:
        return x
    return to.add(Reshape(name=to.fresh(op.name, "image"), inputs=(x.name,), shape=shape))


def _sums(op: SquarePower, to: Rewriter, x: Operand, steps: Sequence[float]) -> Operand:
    """All forms of the sum, one behind the other in the channels.

    A square is 127 * high + low, which two tables give; a convolution of single pixels with
    the weights 127 and 1 adds them up.
    """
    unit = x.scale**2
    high, low = np.divmod(np.minimum(np.abs(BYTES.astype(np.int32)), STEPS) ** 2, STEPS)
    halves = [
        _lookup(op, to, x.name, name, table.astype(np.int8), step)
        for name, table, step in (("high", high, unit * STEPS), ("low", low, unit))
    ]
    operands = tuple(half.name for half in halves)
    squares = to.add(Concat(name=to.fresh(op.name, "squares"), inputs=operands, axis=1))
    window = window_of(op.size, x.shape[1])
    weight = np.concatenate([window * np.int8(STEPS), window], axis=1)[:, :, None, None]
    # a step of exactly a square is out of reach of QDM; 2^-30 more is one part in 10^9
    rates = [rate(unit / (step * (1 + 2.0**-30))) for step in steps for _ in window]
    constants = {
        "weight": np.tile(weight, (len(steps), 1, 1, 1)),
        "multiplier": np.array([r.multiplier for r in rates], np.uint32),
        "shift": np.array([r.shift for r in rates], np.uint8),
    }
    weights, *others = (to.store(op.name, name, array) for name, array in constants.items())
    inputs = (squares.name, weights, "", *others)
    return to.add(Int8Conv2d(name=to.fresh(op.name, "sums"), inputs=inputs, out_scale=steps[0]))


def _lookup(
    op: SquarePower, to: Rewriter, x: str, name: str, table: Array, scale: float
) -> Operand:
    stored = to.store(op.name, f"{name}_table", table)
    return to.add(Int8Lut(name=to.fresh(op.name, name), inputs=(x, stored), out_scale=scale))


# -- its logarithm ----------------------------------------------------------------------


@dataclass(frozen=True)
class Codes:
    """Codes 127 (for `least` and below) to -127 (for `largest`) of the logarithm of sums."""

    least: float
    largest: float

    def of(self, totals: Array) -> Array:
        with np.errstate(divide="ignore"):
            place = np.log(totals / self.least) / math.log(self.largest / self.least)
        return np.rint(STEPS - 2 * STEPS * np.clip(place, 0, 1)).astype(np.int8)

    @property
    def totals(self) -> Array:
        """The sum of every byte's code."""
        place = (STEPS - np.maximum(BYTES.astype(np.float64), -STEPS)) / (2 * STEPS)
        return np.asarray(self.least * (self.largest / self.least) ** place)


def _coded(
    op: SquarePower, to: Rewriter, sums: Operand, steps: Sequence[float], codes: Codes
) -> Operand:
    """The code of the finest form that can tell."""
    n, channels, h, w = sums.shape
    best: Operand | None = None
    for i, step in enumerate(steps):
        table = codes.of(np.maximum(BYTES, 0) * step)
        covered = steps[i + 1] / step if i + 1 < len(steps) else 0.0
        table[(STEPS - 0.5) * covered - 0.5 >= BYTES] = NEVER
        if i:
            table[BYTES == STEPS] = NEVER
        code = _code(op, to, sums, i, (n, channels // len(steps), h, w), table)
        if best is None:
            best = code
            continue
        finer = Int8Max(
            name=to.fresh(op.name, f"best_{i}"), inputs=(best.name, code.name), out_scale=1.0
        )
        best = to.add(finer)
    assert best is not None
    return best


def _code(
    op: SquarePower, to: Rewriter, sums: Operand, form: int, size: Shape, table: Array
) -> Operand:
    """The codes that one form gives. Its scale has no meaning."""
    cut = Slice(
        name=to.fresh(op.name, f"sum_{form}"), inputs=(sums.name,),
        starts=(0, form * size[1], 0, 0), sizes=size, steps=(1,) * 4,
    )  # fmt: skip
    return _lookup(op, to, to.add(cut).name, f"code_{form}", table, 1.0)


@requires(SquarePower)
def sum_fits(op: SquarePower, graph: Graph, spec: ChipSpec) -> bool:
    """the sum of more than 133,144 squares does not fit the accumulator of 32 bits

    normalise parts of the tensor, or compute the layer in BF16
    """
    return (op.size or graph.type_of(op.inputs[0]).shape[1]) <= MOST_SUMMED
