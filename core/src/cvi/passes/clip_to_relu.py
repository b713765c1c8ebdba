"""One form for every way to write a relu."""

from __future__ import annotations

import numpy as np

from cvi.ir import Op
from cvi.ops import Clip, Relu
from cvi.passes.base import RewritePass
from cvi.passes.edit import Edit, Replacement

_LARGEST = float(np.finfo(np.float32).max)


class ClipToRelu(RewritePass):
    """Clip(0, m) becomes Relu(maximum=m), without maximum when m is no limit in fp32.
    Relu(Relu(x)) becomes one Relu with the lower maximum."""

    name = "clip-to-relu"

    def rewrite(self, op: Op, edit: Edit) -> Replacement:
        if isinstance(op, Clip) and op.minimum == 0 and op.maximum > 0:
            maximum = op.maximum if op.maximum < _LARGEST else None
            return Relu(name=op.name, inputs=op.inputs, source=op.source, maximum=maximum)
        if isinstance(op, Relu):
            inner = edit.single(op.inputs[0])
            if isinstance(inner, Relu):
                lower = lower_bound(op.maximum, inner.maximum)
                return op.with_(inputs=inner.inputs, maximum=lower)
        return None


def lower_bound(a: float | None, b: float | None) -> float | None:
    """The lower of two upper limits; None is no limit."""
    limits = [limit for limit in (a, b) if limit is not None]
    return min(limits, default=None)
