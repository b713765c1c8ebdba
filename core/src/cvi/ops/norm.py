"""Per-channel scaling, normalisation and softmax."""

from __future__ import annotations

from dataclasses import dataclass

from cvi.ir import Op


@dataclass(frozen=True, kw_only=True)
class BatchNorm(Op):
    """(x - mean) / sqrt(var + eps) * gamma + beta per channel (axis 1).

    inputs: x, gamma[c], beta[c], mean[c], var[c], all but x constants.
    """

    eps: float = 1e-5


@dataclass(frozen=True, kw_only=True)
class Scale(Op):
    """x * scale[c] + bias[c] per channel (axis 1): inputs x, scale[c], bias[c] or "".

    scale and bias are constants of c elements (or of one element for a tensor without
    channels).
    """

    relu: bool = False
    relu_max: float | None = None


@dataclass(frozen=True, kw_only=True)
class Softmax(Op):
    """Softmax (or its logarithm) along `axis` (non-negative)."""

    axis: int
    log: bool = False
