"""A resize that only repeats pixels is an upsampling."""

from __future__ import annotations

import numpy as np

from cvi.ir import Op
from cvi.ops import Resize, Upsample
from cvi.passes.base import RewritePass
from cvi.passes.edit import Edit, Replacement


class ResizeToUpsample(RewritePass):
    """A nearest Resize by whole factors becomes Upsample when every source pixel is
    repeated factor times in order."""

    name = "resize-to-upsample"
    requires = ("remove-identities",)

    def rewrite(self, op: Op, edit: Edit) -> Replacement:
        if not isinstance(op, Resize) or op.mode != "nearest":
            return None
        h, w = edit.type_of(op.inputs[0]).shape[2:]
        if op.size == (h, w) or op.size[0] % h or op.size[1] % w:
            return None
        factors = (op.size[0] // h, op.size[1] // w)
        for axis, length in enumerate((h, w)):
            repeated = np.repeat(np.arange(length), factors[axis])
            if not np.array_equal(op.nearest(axis, length), repeated):
                return None
        return Upsample(name=op.name, inputs=op.inputs, source=op.source, factors=factors)
