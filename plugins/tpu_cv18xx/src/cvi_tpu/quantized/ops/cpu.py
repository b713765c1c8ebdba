"""Float ops as the runtime's CPU functions compute them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cvi.ir import Array
from cvi.ops import Softmax
from cvi_tpu.libm import expf


@dataclass(frozen=True, kw_only=True)
class CpuSoftmax(Softmax):
    """Softmax by the runtime: exponentials by the C library's expf, an fp32 sum taken one
    element after the other, an fp32 division.

    The runtime's search for the maximum of a row starts from the tensor's first value at
    the row's place behind the axis, so that may be subtracted instead: only the rounding
    differs.
    """

    def evaluate(self, *inputs: Array | None) -> Array:
        (x,) = inputs
        assert x is not None
        rows = np.moveaxis(x, self.axis, 0)
        first = x[(0,) * (self.axis + 1)]
        largest = np.maximum(rows.max(axis=0), first)
        exponentials = expf(rows - largest)
        total = np.zeros(exponentials.shape[1:], np.float32)
        for one in exponentials:
            total = total + one
        return np.ascontiguousarray(np.moveaxis(exponentials / total, 0, self.axis))
