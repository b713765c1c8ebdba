"""Filters in BF16, whose weights may be rounded up or down."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cvi.ir import Array
from cvi_tpu.quantized import bf16
from cvi_tpu.quantized.rounding import Roundings


@dataclass(frozen=True, kw_only=True)
class RealBf16Filter:
    """A filter before its weights are rounded: real weight[oc, ic/group, ...] and bias[oc],
    None where the layer has none."""

    weight: Array
    bias: Array | None

    def roundings(self) -> Roundings:
        """Both neighbours of every weight."""
        return neighbours(self.weight)

    def centre(self, mean: Array) -> Array:
        """The pixels [g, k] for which rounding adds nothing: their mean, which a bias
        corrects, else 0."""
        return np.zeros(mean.shape) if self.bias is None else mean

    def learned(self, weight: Array, mean: Array) -> tuple[Array, Array | None]:
        """The stored weights and bias when the weights become these BF16 numbers: what that
        adds for the mean[g, k] of the pixels is taken out of the bias."""
        stored = bf16.encode(weight.astype(np.float32))
        if self.bias is None:
            return stored, None
        lost = (self.weight - weight).reshape(len(mean), -1, mean.shape[1])
        bias = self.bias + np.einsum("gok,gk->go", lost, mean).ravel()
        return stored, bias.astype(np.float32)


def neighbours(weight: Array) -> Roundings:
    """Of every real weight the nearest BF16 number, and the one on its other side."""
    patterns = bf16.encode(weight)
    real, nearest = weight.astype(np.float64), bf16.decode(patterns).astype(np.float64)
    outward = np.abs(nearest) < np.abs(real)
    beside = bf16.decode(patterns + np.where(outward, 1, -1).astype(np.uint16))
    other = np.where((nearest == real) | ~np.isfinite(beside), nearest, beside)
    return Roundings(real, nearest, other)
