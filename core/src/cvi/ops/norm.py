"""Per-channel scaling, normalisation and softmax."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cvi.ir import Array, Op, TensorType
from cvi.ops.check import Types, floats, operands, require, with_bias
from cvi.ops.clamp import check_clamp, clamp


def channels(x: TensorType | Array) -> int:
    """Size of axis 1, or 1 for a tensor without channels."""
    return x.shape[1] if len(x.shape) > 1 else 1


def per_channel(values: Array, dims: int) -> Array:
    """Values of c channels in a shape that broadcasts along axis 1 of `dims` dimensions."""
    return values.reshape((-1, *(1,) * (dims - 2)) if dims > 1 else ())


@dataclass(frozen=True, kw_only=True)
class BatchNorm(Op):
    """(x - mean) / sqrt(var + eps) * gamma + beta per channel (axis 1).

    inputs: x, gamma[c], beta[c], mean[c], var[c], all but x constants.
    """

    eps: float = 1e-5

    def infer(self, inputs: Types) -> TensorType:
        x, *parameters = operands(self, inputs, 5)
        floats(self, inputs)
        for t in parameters:
            require(self, t.shape == (channels(x),), f"parameter {t} does not fit {x}")
        return x

    def evaluate(self, *inputs: Array | None) -> Array:
        x, *parameters = (a for a in inputs if a is not None)
        gamma, beta, mean, var = (per_channel(p, x.ndim) for p in parameters)
        factor = gamma / np.sqrt(var + np.float32(self.eps))
        y: Array = x * factor
        y += beta - mean * factor
        return y


@dataclass(frozen=True, kw_only=True)
class Scale(Op):
    """x * scale[c] + bias[c] per channel (axis 1): inputs x, scale[c], bias[c] or "".

    scale and bias are constants of c elements (or of one element for a tensor without
    channels).
    """

    relu: bool = False
    relu_max: float | None = None

    def infer(self, inputs: Types) -> TensorType:
        (x, scale), bias = with_bias(self, inputs, 2)
        floats(self, inputs)
        for t in (scale, bias or scale):
            require(self, t.shape == (channels(x),), f"parameter {t} does not fit {x}")
        check_clamp(self, self.relu, self.relu_max)
        return x

    def evaluate(self, *inputs: Array | None) -> Array:
        x, scale = inputs[:2]
        bias = inputs[2] if len(inputs) > 2 else None
        assert x is not None and scale is not None
        y = np.asarray(x * per_channel(scale, x.ndim))
        if bias is not None:
            y += per_channel(bias, x.ndim)
        return clamp(y, self.relu, self.relu_max)


@dataclass(frozen=True, kw_only=True)
class LayerNorm(Op):
    """(x - mean) / sqrt(var + eps) * gamma + beta over all dimensions from `axis` on.

    inputs: x, gamma or "", beta or "", both of the shape x.shape[axis:]. axis: not negative.
    """

    axis: int
    eps: float = 1e-5

    def infer(self, inputs: Types) -> TensorType:
        x, gamma, beta = (*inputs, None, None)[:3]
        operands(self, [x], 1)
        require(self, len(inputs) <= 3, f"takes up to 3 operands but has {len(inputs)}")
        floats(self, inputs)
        assert x is not None
        require(self, 0 <= self.axis < len(x.shape), f"{x} has no axis {self.axis}")
        for t in (gamma, beta):
            fits = t is None or t.shape == x.shape[self.axis :]
            require(self, fits, f"parameter {t} does not fit {x} from axis {self.axis} on")
        return x

    def evaluate(self, *inputs: Array | None) -> Array:
        x, gamma, beta = (*inputs, None, None)[:3]
        assert x is not None
        axes = tuple(range(self.axis, x.ndim))
        centred = x - x.mean(axis=axes, keepdims=True)
        var = np.square(centred).mean(axis=axes, keepdims=True)
        y = np.asarray(centred / np.sqrt(var + np.float32(self.eps)))
        y = y if gamma is None else y * gamma
        return y if beta is None else y + beta


@dataclass(frozen=True, kw_only=True)
class Softmax(Op):
    """Softmax (or its logarithm) along `axis` (non-negative)."""

    axis: int
    log: bool = False

    def infer(self, inputs: Types) -> TensorType:
        (x,) = operands(self, inputs, 1)
        floats(self, inputs)
        require(self, 0 <= self.axis < len(x.shape), f"{x} has no axis {self.axis}")
        return x

    def evaluate(self, *inputs: Array | None) -> Array:
        (x,) = inputs
        assert x is not None
        shifted: Array = x - x.max(axis=self.axis, keepdims=True)
        total = np.exp(shifted).sum(axis=self.axis, keepdims=True)
        return np.asarray(shifted - np.log(total) if self.log else np.exp(shifted) / total)
