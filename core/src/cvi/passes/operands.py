"""Reading the constant operands of layers with weight and bias."""

from __future__ import annotations

import numpy as np

from cvi.ir import Array, Op
from cvi.passes.edit import Edit


def bias_of(op: Op, edit: Edit) -> Array | None:
    """The third operand in fp64: zeros when absent, None when it is not a constant."""
    if len(op.inputs) < 3 or not op.inputs[2]:
        return np.zeros(1)
    bias = edit.constant(op.inputs[2])
    return None if bias is None else bias.astype(np.float64)
