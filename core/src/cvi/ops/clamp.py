"""The clamp that is fused into an op's result: `relu` and `relu_max`."""

from __future__ import annotations

import numpy as np

from cvi.ir.op import Op
from cvi.ir.types import Array
from cvi.ops.check import require


def clamp(y: Array, relu: bool, relu_max: float | None = None) -> Array:
    """Limit y below at 0 (relu) and above at relu_max, in place where possible."""
    if not relu:
        return y
    out = y if y.flags.writeable else None
    y = np.maximum(y, y.dtype.type(0), out=out)
    return y if relu_max is None else np.minimum(y, y.dtype.type(relu_max), out=y)


def check_clamp(op: Op, relu: bool, relu_max: float | None) -> None:
    """An upper bound only makes sense with a lower one, and not below it."""
    if relu_max is not None:
        require(op, relu, "has relu_max without relu")
        require(op, relu_max >= 0, f"relu_max must not be negative but is {relu_max}")
