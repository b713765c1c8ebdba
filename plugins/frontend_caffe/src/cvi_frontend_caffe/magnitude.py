"""How large the values of a blob are with random weights: an estimate, layer by layer.

Only used to draw weights under which activations neither grow nor vanish, however deep
the network is and however often its branches are added.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from cvi_frontend_caffe.params import Params

_NORMALISED = frozenset({
    "Convolution", "ConvolutionDepthwise", "DepthwiseConvolution", "Deconvolution",
    "InnerProduct", "BatchNorm", "BN", "Embed",
})  # fmt: skip
"""Their weights are drawn so that the result has unit size."""

_BOUNDED = {"Sigmoid": 0.6, "Softmax": 0.3, "TanH": 0.7, "LSTM": 0.4, "Lstm": 0.4,
            "Normalize": 0.5, "ELU": 0.8}  # fmt: skip
_RECTIFIED = frozenset({"ReLU", "ReLU6", "PReLU", "Swish", "Mish", "HardSwish"})


def estimated(type: str, rms: Sequence[float], param: Params | None = None) -> float:
    """Root mean square of a layer's result from those of its operands."""
    first = rms[0] if rms else 1.0
    if type in _NORMALISED:
        return 1.0
    if type in _BOUNDED:
        return _BOUNDED[type]
    if type in _RECTIFIED:
        return first / math.sqrt(2)
    if type == "Eltwise" and param is not None:
        return _eltwise(rms, param)
    if type == "Axpy":
        return math.hypot(rms[0] * rms[1], rms[2]) if len(rms) == 3 else first
    if type in ("Scale", "Mul") and len(rms) > 1:
        return math.prod(rms)
    if type == "Power" and param is not None:
        return max(abs(param.number("scale")) * first, abs(param.number("shift")), 1e-3)
    return max(rms, default=1.0)


def _eltwise(rms: Sequence[float], param: Params) -> float:
    if param.choice("operation") == "PROD":
        return math.prod(rms)
    if param.choice("operation") == "SUM":
        return math.hypot(*rms)
    return max(rms)
