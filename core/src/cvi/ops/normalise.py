"""Normalisation by what a tensor holds itself: sums of squares, means and variances."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cvi.ir import Array, Op, TensorType
from cvi.ops.check import Types, floats, operands, require
from cvi.ops.norm import channels, per_channel


@dataclass(frozen=True, kw_only=True)
class SquarePower(Op):
    """(scale * sum of squares + shift)^exponent, the sum over channels of x[n,c,...].

    size: how many channels around each one count, (size - 1) // 2 of them before it; the
    result has the shape of x. 0: all channels count, and the result has a single one.
    """

    exponent: float
    size: int = 0
    scale: float = 1.0
    shift: float = 0.0

    def infer(self, inputs: Types) -> TensorType:
        (x,) = operands(self, inputs, 1)
        floats(self, inputs)
        require(self, len(x.shape) >= 2, f"needs channels but reads {x}")
        require(self, self.size >= 0, f"size must not be negative but is {self.size}")
        require(self, self.scale > 0, f"scale must be positive but is {self.scale}")
        require(self, self.shift >= 0, f"shift must not be negative but is {self.shift}")
        return x if self.size else x.with_shape((x.shape[0], 1, *x.shape[2:]))

    def function(self, total: Array) -> Array:
        """The result for sums of squares."""
        return np.asarray(np.power(self.scale * total + self.shift, self.exponent))

    def evaluate(self, *inputs: Array | None) -> Array:
        (x,) = inputs
        assert x is not None
        with np.errstate(all="ignore"):
            return self.function(square_sums(x, self.size)).astype(x.dtype, copy=False)


def square_sums(x: Array, size: int) -> Array:
    """Sums of the squares of x[n,c,...] over `size` channels around each, or over all (0)."""
    squares = np.square(x)
    if not size:
        return np.asarray(squares.sum(axis=1, keepdims=True))
    y, count, before = np.zeros_like(squares), x.shape[1], (size - 1) // 2
    for shift in range(-before, size - before):
        reach = count - abs(shift)
        if reach > 0:
            to, source = max(-shift, 0), max(shift, 0)
            y[:, to : to + reach] += squares[:, source : source + reach]
    return y


def window_of(size: int, count: int) -> Array:
    """Which of `count` channels (columns) count for each channel of the result: 0 or 1."""
    if not size:
        return np.ones((1, count), np.int8)
    before = (size - 1) // 2
    distance = np.arange(count) - np.arange(count)[:, None]
    return ((distance >= -before) & (distance < size - before)).astype(np.int8)


@dataclass(frozen=True, kw_only=True)
class Lrn(Op):
    """Local response normalisation of x[n,c,...] over channels.

    x / (k + alpha / size * sum of squares over `size` channels)^beta; see SquarePower for
    which channels those are.
    """

    size: int
    alpha: float
    beta: float
    k: float = 1.0

    def infer(self, inputs: Types) -> TensorType:
        (x,) = operands(self, inputs, 1)
        floats(self, inputs)
        require(self, self.size > 0, f"size must be positive but is {self.size}")
        require(self, self.alpha > 0, f"alpha must be positive but is {self.alpha}")
        require(self, self.k >= 0, f"k must not be negative but is {self.k}")
        require(self, len(x.shape) >= 2, f"needs channels but reads {x}")
        return x

    def evaluate(self, *inputs: Array | None) -> Array:
        (x,) = inputs
        assert x is not None
        return np.asarray(x * self.power.evaluate(x))

    @property
    def power(self) -> SquarePower:
        """What x is multiplied with."""
        share = self.alpha / self.size
        return SquarePower(
            name=self.name, exponent=-self.beta, size=self.size, scale=share, shift=self.k
        )


@dataclass(frozen=True, kw_only=True)
class Normalize(Op):
    """x / sqrt(sum of x^2 + eps) * scale[c]: inputs x[n,c,...], scale[c] (constant).

    The sum is over the channels of a pixel, or over an image when across_spatial.
    """

    across_spatial: bool = False
    eps: float = 1e-10

    def infer(self, inputs: Types) -> TensorType:
        x, scale = operands(self, inputs, 2)
        floats(self, inputs)
        require(self, len(x.shape) >= 2, f"needs channels but reads {x}")
        require(self, scale.shape == (channels(x),), f"scale {scale} does not fit {x}")
        return x

    def evaluate(self, *inputs: Array | None) -> Array:
        x, scale = inputs
        assert x is not None and scale is not None
        axes = tuple(range(1, x.ndim)) if self.across_spatial else 1
        norm = np.sqrt(np.square(x).sum(axis=axes, keepdims=True) + np.float32(self.eps))
        return np.asarray(x / norm * per_channel(scale, x.ndim))


@dataclass(frozen=True, kw_only=True)
class InstanceNorm(Op):
    """(x - mean) / sqrt(variance + eps) * gamma[c] + beta[c], mean and (biased) variance of
    every channel of every image: inputs x[n,c,...], gamma, beta (constants)."""

    eps: float = 1e-5

    def infer(self, inputs: Types) -> TensorType:
        x, *parameters = operands(self, inputs, 3)
        floats(self, inputs)
        require(self, len(x.shape) >= 3, f"needs channels and pixels but reads {x}")
        for t in parameters:
            require(self, t.shape == (channels(x),), f"parameter {t} does not fit {x}")
        return x

    def evaluate(self, *inputs: Array | None) -> Array:
        x, gamma, beta = inputs
        assert x is not None and gamma is not None and beta is not None
        axes = tuple(range(2, x.ndim))
        centred = x - x.mean(axis=axes, keepdims=True)
        variance = np.square(centred).mean(axis=axes, keepdims=True)
        factor = per_channel(gamma, x.ndim) / np.sqrt(variance + np.float32(self.eps))
        return np.asarray(centred * factor + per_channel(beta, x.ndim))
