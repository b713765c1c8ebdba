"""Filters in int8 with one scale per output channel, biases in int32."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cvi.errors import ModelError
from cvi.ir import Array
from cvi_tpu.quantized.rounding import Roundings
from cvi_tpu.quantized.scales import STEPS, rate

_BLOCK = 1 << 20  # weights in fp64 at a time
_ACCUMULATOR = 2**31 - 1


@dataclass(frozen=True)
class Filter:
    """What an Int8Conv2d needs, for weights of any shape [oc, ...].

    bias is None when the layer has none. gains: what is left to multiply each channel
    with after the convolution; 1 except for channels whose ratio is 1 or more. source: what
    it was made of, where its weights may be rounded otherwise.
    """

    weight: Array
    bias: Array | None
    multiplier: Array
    shift: Array
    gains: Array
    source: RealFilter | None = None

    @property
    def exact(self) -> bool:
        """Whether the convolution alone gives the result."""
        return bool((self.gains == 1).all())


@dataclass(frozen=True, kw_only=True)
class RealFilter:
    """A filter with all its scales: what is left to choose are the integers of its weights.

    weight[oc, ic/group, ...] and bias[oc] are real numbers, the bias fp64 and with what the
    zero of the result adds. scales: fp64[oc], one step of the weights. means, x_zero: see
    `real_filter`. biased: whether the layer needs a bias.
    """

    weight: Array
    bias: Array
    scales: Array
    x_scale: float
    y_scale: float
    means: Array | None
    x_zero: int
    biased: bool

    def roundings(self) -> Roundings:
        """Both neighbours of every weight in steps of its channel, within int8; 0 where all
        are 0."""
        divisors = np.where(self.scales > 0, self.scales, 1.0)
        wide = self.weight.astype(np.float64) / divisors.reshape(-1, *[1] * (self.weight.ndim - 1))
        steps = np.clip(wide, -128, 127)
        nearest = np.rint(steps)
        return Roundings(steps, nearest, nearest + np.sign(steps - nearest))

    def centre(self, mean: Array) -> Array:
        """The integers [g, k] for which the result has no error: those of the means, which the
        bias corrects, else of 0. mean: of the integers that are seen."""
        if self.means is None:
            return np.full(mean.shape, float(self.x_zero))
        means = self.means / self.x_scale + self.x_zero
        groups, size = mean.shape
        return np.repeat(means.reshape(groups, -1), size // (len(means) // groups), axis=1)

    def learned(self, weight: Array, mean: Array) -> tuple[Array, Array | None]:
        """The stored weights and bias when the weights become these integers."""
        del mean  # that of the float network is known
        made = self.rounded(weight.astype(np.int8))
        return made.weight, made.bias

    def nearest(self) -> Filter:
        """The filter with every weight rounded to nearest."""
        rows = self.weight.reshape(len(self.scales), -1)
        return self.rounded(_rounded(rows, self.scales).reshape(self.weight.shape))

    def rounded(self, weight: Array) -> Filter:
        """The filter with these integers as weights, of the weight's shape."""
        units = self.scales * self.x_scale
        ratios = units / self.y_scale
        # A ratio of exactly 1 is out of reach too; 2^-30 more is one part in 10^9.
        gains = np.where(ratios < 1, 1.0, ratios * (1 + 2.0**-30))
        rates = [rate(r) for r in (ratios / gains).tolist()]
        return Filter(
            weight=weight,
            bias=self._bias(weight, units) if self.biased else None,
            multiplier=np.array([r.multiplier for r in rates], np.uint32),
            shift=np.array([r.shift for r in rates], np.uint8),
            gains=gains,
        )

    def _bias(self, weight: Array, units: Array) -> Array:
        """The bias in steps of the sums, without what the rounding adds on average and what
        the zero of the input adds."""
        real = self.bias
        if self.means is not None:
            real = real + mean_loss(self.weight, _real(weight, self.scales), self.means)
        steps = np.divide(real, units, out=np.zeros(len(units)), where=units > 0)
        sums = weight.reshape(len(units), -1).sum(axis=1, dtype=np.int64)
        whole: Array = (np.rint(steps).astype(np.int64) - self.x_zero * sums).astype(np.int32)
        return whole


def real_filter(
    weight: Array,
    bias: Array | None,
    x_scale: float,
    y_scale: float,
    *,
    where: str,
    thresholds: Sequence[float] | None = None,
    means: Array | None = None,
    zeros: tuple[int, int] = (0, 0),
) -> RealFilter:
    """The real weight[oc, ic/group, ...] and bias[oc] of a layer with the scales of integers.

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
    return RealFilter(
        weight=weight,
        bias=real_bias,
        scales=_scales(rows, real_bias, x_scale, thresholds, 128 + abs(x_zero)),
        x_scale=x_scale,
        y_scale=y_scale,
        means=means,
        x_zero=x_zero,
        biased=bias is not None or means is not None or any(zeros),
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
    # Rounding adds less than a step to each weight, and at most half to the bias.
    room = _ACCUMULATOR - reach * rows.shape[1] - 1
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
