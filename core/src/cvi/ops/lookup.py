"""Positions in tensors, and look-ups at positions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cvi.errors import InputError
from cvi.ir import Array, DType, Op, TensorType
from cvi.ops.check import Types, broken, floats, operands, rank, require


@dataclass(frozen=True, kw_only=True)
class ArgMax(Op):
    """Where the largest element along `axis` (non-negative) is, the first one of several.

    The result is fp32, which holds whole numbers up to 2^24; its axis has the size 1, or
    is missing without `keepdims`.
    """

    axis: int
    keepdims: bool = True

    def infer(self, inputs: Types) -> TensorType:
        (x,) = operands(self, inputs, 1)
        floats(self, inputs)
        require(self, 0 <= self.axis < len(x.shape), f"axis {self.axis} does not fit {x}")
        length = x.shape[self.axis]
        require(self, 0 < length <= 1 << 24, f"there is no largest of {length} elements in fp32")
        kept = (1,) if self.keepdims else ()
        return TensorType((*x.shape[: self.axis], *kept, *x.shape[self.axis + 1 :]))

    def evaluate(self, *inputs: Array | None) -> Array:
        (x,) = inputs
        assert x is not None
        index = np.argmax(x, axis=self.axis, keepdims=self.keepdims)
        return np.asarray(index, np.float32)


WHOLE = (DType.INT16, DType.UINT16, DType.INT32, DType.UINT32, DType.INT64)
"""Element types of indices that are not held in fp32."""


@dataclass(frozen=True, kw_only=True)
class Embedding(Op):
    """Rows of a table: y[..., :] = table[indices[...]].

    inputs: indices of any shape, whole numbers in fp32 or in an integer type, and
    table [V, D]; the result is indices.shape + (D,). InputError for an index outside
    0 .. V-1.
    """

    def infer(self, inputs: Types) -> TensorType:
        indices, table = operands(self, inputs, 2)
        floats(self, [table])
        if indices.dtype is not DType.FP32 and indices.dtype not in WHOLE:
            raise broken(self, f"looks up at whole numbers but reads {indices}")
        return TensorType((*indices.shape, rank(self, table, 2)[1]))

    def evaluate(self, *inputs: Array | None) -> Array:
        indices, table = inputs
        assert indices is not None and table is not None
        outside = indices[(indices < 0) | (indices >= len(table))]
        if outside.size:
            raise InputError(
                f"index {int(outside[0])} is outside of a table of {len(table)} rows",
                where=f"{self.kind} {self.name}",
            )
        return np.asarray(table[indices.astype(np.int64)])
