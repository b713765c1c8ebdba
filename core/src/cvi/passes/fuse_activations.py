"""Activations that frameworks write as several ops."""

from __future__ import annotations

import math

from cvi.ir import Op
from cvi.ops import HardSigmoid, HardSwish, Mish, Mul, Sigmoid, Softplus, Swish, Tanh, Unary
from cvi.passes.base import RewritePass
from cvi.passes.edit import Edit, Replacement


class FuseActivations(RewritePass):
    """x * sigmoid(x) becomes Swish, x * hardsigmoid(x) with 1/6 and 1/2 HardSwish,
    x * tanh(softplus(x)) Mish."""

    name = "fuse-activations"

    def rewrite(self, op: Op, edit: Edit) -> Replacement:
        if not isinstance(op, Mul) or len(op.inputs) != 2 or op.relu:
            return None
        for x, gate in (op.inputs, op.inputs[::-1]):
            fused = _fused(x, edit.single(gate), edit)
            if fused is not None:
                return fused(name=op.name, inputs=(x,), source=op.source)
        return None


def _fused(x: str, gate: Op | None, edit: Edit) -> type[Unary] | None:
    """The activation that x times the gate is."""
    if isinstance(gate, Tanh):
        inner = edit.single(gate.inputs[0])
        plain = isinstance(inner, Softplus) and (inner.scale, inner.bias) == (1.0, 0.0)
        return Mish if plain and inner is not None and inner.inputs == (x,) else None
    if gate is None or gate.inputs != (x,):
        return None
    if isinstance(gate, Sigmoid) and (gate.scale, gate.bias) == (1.0, 0.0):
        return Swish
    if isinstance(gate, HardSigmoid):
        sixth = math.isclose(gate.alpha, 1 / 6, rel_tol=1e-6) and gate.beta == 0.5
        return HardSwish if sixth else None
    return None
