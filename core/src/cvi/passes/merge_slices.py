"""A slice of a slice is one slice."""

from __future__ import annotations

from cvi.ir import Op
from cvi.ops import Slice
from cvi.passes.base import RewritePass
from cvi.passes.edit import Edit, Replacement


class MergeSlices(RewritePass):
    """Slice(Slice(x)) becomes one Slice when the inner one has no other user:
    start = start1 + start2 * step1, step = step1 * step2."""

    name = "merge-slices"

    def rewrite(self, op: Op, edit: Edit) -> Replacement:
        if not isinstance(op, Slice):
            return None
        inner = edit.single(op.inputs[0])
        if not isinstance(inner, Slice):
            return None
        dims = range(len(op.starts))
        return op.with_(
            inputs=inner.inputs,
            starts=tuple(inner.starts[i] + op.starts[i] * inner.steps[i] for i in dims),
            steps=tuple(inner.steps[i] * op.steps[i] for i in dims),
        )
