"""How large the values of a blob are with random weights: an estimate, layer by layer.

Only used to draw weights under which activations neither grow nor vanish, however deep
the network is and however often its branches are added.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from cvi_frontend_caffe.params import Params

_NORMALISED = frozenset({
    "Convolution", "ConvolutionDepthwise", "DepthwiseConvolution", "Deconvolution",
    "InnerProduct", "BatchNorm", "BN", "Embed",
})  # fmt: skip
"""Their weights are drawn so that the result has unit size."""

_RECTIFIED = frozenset({"ReLU", "ReLU6", "PReLU", "Swish", "Mish", "HardSwish", "ELU"})


@dataclass(frozen=True)
class Magnitude:
    """Mean and standard deviation of a blob."""

    mean: float = 0.0
    deviation: float = 1.0

    @property
    def rms(self) -> float:
        return math.hypot(self.mean, self.deviation)

    def times(self, factor: float) -> Magnitude:
        return Magnitude(self.mean * factor, abs(self.deviation * factor))


_UNIT = Magnitude()
_BOUNDED = {
    "Sigmoid": Magnitude(0.5, 0.2), "Softmax": Magnitude(0.1, 0.3), "TanH": Magnitude(0, 0.7),
    "LSTM": Magnitude(0, 0.4), "Lstm": Magnitude(0, 0.4), "Normalize": Magnitude(0.3, 0.4),
}  # fmt: skip


def estimated(type: str, operands: Sequence[Magnitude], param: Params | None = None) -> Magnitude:
    """The magnitude of a layer's result from those of its operands."""
    first = operands[0] if operands else _UNIT
    if type in _NORMALISED:
        return _UNIT
    if type in _BOUNDED:
        return _BOUNDED[type]
    if type in _RECTIFIED:
        return _rectified(first)
    if type == "Axpy" and len(operands) == 3:
        return _sum([_product(operands[:2]), operands[2]])
    if type == "Eltwise" and param is not None:
        return _eltwise(operands, param)
    if type in ("Scale", "Mul") and len(operands) > 1:
        return _product(operands)
    if type == "Power" and param is not None:
        scaled = first.times(param.number("scale"))
        return Magnitude(scaled.mean + param.number("shift"), max(scaled.deviation, 1e-3))
    return max(operands, key=lambda x: x.rms, default=_UNIT)


def _rectified(x: Magnitude) -> Magnitude:
    """Half of a normal distribution around 0; what lies well above 0 stays."""
    return x if x.mean > x.deviation else Magnitude(0.4 * x.rms, 0.58 * x.rms)


def _eltwise(operands: Sequence[Magnitude], param: Params) -> Magnitude:
    method = param.choice("operation")
    if method == "PROD":
        return _product(operands)
    if method != "SUM":
        return max(operands, key=lambda x: x.rms)
    factors = param.numbers("coeff") or (1.0,) * len(operands)
    return _sum([x.times(f) for x, f in zip(operands, factors, strict=False)])


def _sum(operands: Sequence[Magnitude]) -> Magnitude:
    mean = sum(x.mean for x in operands)
    return Magnitude(mean, math.hypot(*(x.deviation for x in operands)))


def _product(operands: Sequence[Magnitude]) -> Magnitude:
    return Magnitude(0.0, math.prod(x.rms for x in operands))
