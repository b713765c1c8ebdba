"""Batch normalisation is a scale."""

from __future__ import annotations

import numpy as np

from cvi.ir import Op
from cvi.ops import BatchNorm, Scale
from cvi.passes.base import RewritePass
from cvi.passes.edit import Edit, Replacement


class BatchNormToScale(RewritePass):
    """BatchNorm with constant parameters becomes Scale: s = gamma / sqrt(var + eps),
    b = beta - mean * s, computed in fp64."""

    name = "batchnorm-to-scale"

    def rewrite(self, op: Op, edit: Edit) -> Replacement:
        if not isinstance(op, BatchNorm):
            return None
        values = [edit.constant(name) for name in op.inputs[1:]]
        gamma, beta, mean, var = (None if v is None else v.astype(np.float64) for v in values)
        if gamma is None or beta is None or mean is None or var is None:
            return None
        if np.any(var + op.eps <= 0):
            return None
        scale = gamma / np.sqrt(var + op.eps)
        s = edit.add_constant(f"{op.name}_scale", scale)
        b = edit.add_constant(f"{op.name}_bias", beta - mean * scale)
        return Scale(name=op.name, inputs=(op.inputs[0], s, b), source=op.source)
