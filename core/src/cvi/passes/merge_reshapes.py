"""Chains of reshapes and of permutes."""

from __future__ import annotations

from cvi.ir import Op
from cvi.ops import Permute, Reshape
from cvi.passes.base import RewritePass
from cvi.passes.edit import Edit, Replacement


class MergeReshapes(RewritePass):
    """Reshape(Reshape(x)) becomes one Reshape, Permute(Permute(x)) one Permute, and a
    Permute that moves only dimensions of size 1 a Reshape."""

    name = "merge-reshapes"
    requires = ("pixel-shuffle",)

    def rewrite(self, op: Op, edit: Edit) -> Replacement:
        if isinstance(op, Permute) and _moves_only_ones(op):
            return Reshape(name=op.name, inputs=op.inputs, source=op.source, shape=op.type.shape)
        if not isinstance(op, (Reshape, Permute)):
            return None
        inner = edit.single(op.inputs[0])
        if isinstance(op, Reshape) and isinstance(inner, Reshape):
            return op.with_(inputs=inner.inputs)
        if isinstance(op, Permute) and isinstance(inner, Permute):
            order = tuple(inner.order[i] for i in op.order)
            return op.with_(inputs=inner.inputs, order=order)
        return None


def _moves_only_ones(op: Permute) -> bool:
    """The dimensions above 1 keep their order (an identity is another pass's work)."""
    kept = [source for source, size in zip(op.order, op.type.shape, strict=True) if size > 1]
    return kept == sorted(kept) and op.order != tuple(range(len(op.order)))
