"""Filters in int8 with one scale per output channel, biases in int32."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cvi.errors import ModelError
from cvi.ir import Array
from cvi_tpu.quantized.scales import STEPS, rate

_BLOCK = 1 << 20  # weights in fp64 at a time
_ACCUMULATOR = 2**31 - 1


@dataclass(frozen=True)
class Filter:
    """What an Int8Conv2d needs, for weights of any shape [oc, ...].

    bias is None when the layer has none. gains: what is left to multiply each channel
    with after the convolution; 1 except for channels whose ratio is 1 or more.
    """

    weight: Array
    bias: Array | None
    multiplier: Array
    shift: Array
    gains: Array

    @property
    def exact(self) -> bool:
        """Whether the convolution alone gives the result."""
        return bool((self.gains == 1).all())


def quantise_filter(
    weight: Array,
    bias: Array | None,
    x_scale: float,
    y_scale: float,
    *,
    where: str,
    thresholds: Sequence[float] | None = None,
    means: Array | None = None,
    zeros: tuple[int, int] = (0, 0),
) -> Filter:
    """Quantise the real weight[oc, ic/group, ...] and bias[oc] of a layer.

    means: of the input's channels [ic]; what rounding the weights adds to the results for
    these is taken out of the bias. zeros: the integers that stand for 0 in input and result
    (that of the result is for filters without gains only); they go into the bias, exactly
    for the input's.

    A channel's scale is max|W| / 127 (or its given threshold / 127), enlarged where the
    32-bit accumulator could wrap around: |bias| + (128 + |zero|) * sum|W| stays below
    2^31 for every input. Its ratio is scale * x_scale / y_scale. Where that reaches 1, which QDM
    cannot multiply with, the sums are left in their own unit (nothing is lost: one step
    of the sum is more than one of the result) and `gains` says what remains.
    """
    channels = weight.shape[0]
    rows = weight.reshape(channels, -1)
    check_finite(where, rows, bias)
    x_zero, y_zero = zeros
    real_bias = np.zeros(channels) if bias is None else bias.astype(np.float64)
    real_bias = real_bias + y_zero * y_scale
    scales = _scales(rows, real_bias, x_scale, thresholds, 128 + abs(x_zero))
    rounded = _rounded(rows, scales).reshape(weight.shape)
    if means is not None:
        real_bias = real_bias + mean_loss(weight, _real(rounded, scales), means)
    units = scales * x_scale
    ratios = units / y_scale
    # A ratio of exactly 1 is out of reach too; 2^-30 more is one part in 10^9.
    gains = np.where(ratios < 1, 1.0, ratios * (1 + 2.0**-30))
    rates = [rate(r) for r in (ratios / gains).tolist()]
    quantised = None
    if bias is not None or means is not None or any(zeros):
        steps = np.divide(real_bias, units, out=np.zeros(channels), where=units > 0)
        sums = rounded.reshape(channels, -1).sum(axis=1, dtype=np.int64)
        quantised = (np.rint(steps).astype(np.int64) - x_zero * sums).astype(np.int32)
    return Filter(
        weight=rounded,
        bias=quantised,
        multiplier=np.array([r.multiplier for r in rates], np.uint32),
        shift=np.array([r.shift for r in rates], np.uint8),
        gains=gains,
    )


def check_finite(where: str, weight: Array, bias: Array | None = None) -> None:
    """ModelError when a constant of a layer is not made of numbers."""
    if not np.isfinite(weight).all() or (bias is not None and not np.isfinite(bias).all()):
        raise ModelError(
            "a weight or bias is not a finite number",
            where=where,
            fix="export the model again from a checkpoint without NaN",
        )


def _real(rounded: Array, scales: Array) -> Array:
    """The real numbers that rounded weights stand for."""
    real: Array = rounded * scales.reshape(-1, *[1] * (rounded.ndim - 1))
    return real


def mean_loss(weight: Array, rounded: Array, means: Array) -> Array:
    """What the result of each output channel loses on average when its weights [oc,
    ic/group, ...] are rounded, and the input has these means [ic]: fp64[oc]."""
    channels, per_group = weight.shape[:2]
    groups = len(means) // per_group
    lost = weight.astype(np.float64) - rounded
    lost = lost.reshape(channels, per_group, -1).sum(axis=2)
    seen = np.repeat(means.reshape(groups, per_group), channels // groups, axis=0)
    loss: Array = (lost * seen).sum(axis=1)
    return loss


def _scales(
    rows: Array, bias: Array, x_scale: float, thresholds: Sequence[float] | None, reach: int
) -> Array:
    """Real value of one weight step per channel; 0 for a channel of nothing but zeros.

    reach: the largest |integer - zero| of an input.
    """
    given = thresholds is not None and len(thresholds) == len(rows)
    largest = np.array(thresholds) if given else np.abs(rows).max(axis=1, initial=0)
    sums = np.abs(rows).sum(axis=1, dtype=np.float64)
    # Rounding adds at most half a step to each weight, and half to the bias.
    room = _ACCUMULATOR - reach // 2 * rows.shape[1] - 1
    needed = (np.abs(bias) / x_scale + reach * sums) / room
    return np.asarray(np.maximum(largest.astype(np.float64) / STEPS, needed))


def _rounded(rows: Array, scales: Array) -> Array:
    """rows / scales to the nearest integer within int8, a block of rows at a time."""
    out = np.zeros(rows.shape, np.int8)
    step = max(1, _BLOCK // max(1, rows.shape[1]))
    divisors = np.where(scales > 0, scales, 1.0)[:, None]
    for first in range(0, len(rows), step):
        part = slice(first, first + step)
        out[part] = np.clip(np.rint(rows[part] / divisors[part]), -128, 127)
    return out


def quantise_tensor(values: Array) -> tuple[Array, float]:
    """A constant operand as int8 with a scale of its own, max|c| / 127 (1 when all zero)."""
    largest = float(np.abs(values).max(initial=0))
    scale = largest / STEPS if largest > 0 else 1.0
    return np.clip(np.rint(values.astype(np.float64) / scale), -128, 127).astype(np.int8), scale
