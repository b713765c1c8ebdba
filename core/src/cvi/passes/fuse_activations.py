"""Activations that frameworks write as several ops."""

from __future__ import annotations

import math

from cvi.ir import Op
from cvi.ops import (
    Clip,
    Div,
    Erf,
    Exp,
    Gelu,
    HardSigmoid,
    HardSwish,
    Log,
    Mish,
    Mul,
    Relu,
    Sigmoid,
    Softplus,
    Swish,
    Tanh,
    Unary,
)
from cvi.passes.base import RewritePass
from cvi.passes.edit import Edit, Replacement
from cvi.passes.operands import is_power, is_sum, plus_number, times_number

_CLOSE = 1e-5
"""Relative tolerance of numbers that files hold in fp32."""

_CUBIC = 0.044715
"""The factor of x^3 in the tanh form of Gelu."""


class FuseActivations(RewritePass):
    """Products, sums and clips that are one activation become it:

    1. x * sigmoid(x) is Swish, x * tanh(softplus(x)) Mish, x * hardsigmoid(x) with 1/6 and
       1/2 HardSwish;
    2. clip(x + b, 0, m) / m is HardSigmoid, and x * clip(x + 3, 0, 6) / 6 HardSwish;
    3. x / 2 * (1 + erf(x / sqrt 2)) is Gelu, x / 2 * (1 + tanh(sqrt(2 / pi) * (x +
       0.044715 x^3))) its tanh form;
    4. log(exp(x) + 1) is Softplus.
    """

    name = "fuse-activations"

    def rewrite(self, op: Op, edit: Edit) -> Replacement:
        if isinstance(op, Log):
            return _softplus(op, edit)
        if not isinstance(op, (Mul, Div)) or len(op.inputs) != 2 or op.relu:
            return None
        for x, gate in (op.inputs, op.inputs[::-1]) if isinstance(op, Mul) else ():
            fused = _gated(x, edit.single(gate))
            fused = fused or _mish(x, edit.single(gate), edit)
            if fused is not None:
                return fused(name=op.name, inputs=(x,), source=op.source)
        return _hard_sigmoid(op, edit) or _of_product(op, edit)


def _softplus(op: Log, edit: Edit) -> Op | None:
    """Rule 4."""
    shifted = plus_number(edit.single(op.inputs[0]), edit)
    power = edit.single(shifted[0]) if shifted and shifted[1] == 1.0 else None
    if not isinstance(power, Exp) or (power.scale, power.bias) != (1.0, 0.0):
        return None
    return Softplus(name=op.name, inputs=power.inputs, source=op.source)


def _gated(x: str, gate: Op | None) -> type[Unary] | None:
    """Rule 1: the activation that x times a function of x is."""
    if gate is None or gate.inputs != (x,):
        return None
    if isinstance(gate, Sigmoid) and (gate.scale, gate.bias) == (1.0, 0.0):
        return Swish
    if isinstance(gate, HardSigmoid) and _near(gate.alpha, 1 / 6) and _near(gate.beta, 0.5):
        return HardSwish
    return None


def _mish(x: str, gate: Op | None, edit: Edit) -> type[Unary] | None:
    inner = edit.single(gate.inputs[0]) if isinstance(gate, Tanh) else None
    if not isinstance(inner, Softplus) or inner.inputs != (x,):
        return None
    return Mish if (inner.scale, inner.bias) == (1.0, 0.0) else None


def _hard_sigmoid(op: Op, edit: Edit) -> Op | None:
    """Rule 2: a clip from 0 to m of a shifted tensor, divided by m."""
    scaled = times_number(op, edit)
    clipped = _clipped_sum(scaled[0], edit) if scaled else None
    if scaled is None or clipped is None:
        return None
    x, offset, most = clipped
    if not _near(scaled[1] * most, 1.0):
        return None
    return HardSigmoid(
        name=op.name, inputs=(x,), source=op.source, alpha=scaled[1], beta=offset * scaled[1]
    )


def _clipped_sum(name: str, edit: Edit) -> tuple[str, float, float] | None:
    """x, b and m of clip(x + b, 0, m)."""
    clip = edit.single(name)
    most = None
    if (isinstance(clip, Clip) and clip.minimum == 0) or isinstance(clip, Relu):
        most = clip.maximum
    if clip is None or most is None or not math.isfinite(most):
        return None
    shifted = plus_number(edit.single(clip.inputs[0]), edit)
    return None if shifted is None else (*shifted, most)


def _of_product(op: Op, edit: Edit) -> Op | None:
    """Rules 2 and 3: the factors of a product, in whatever order they are multiplied."""
    factor, names = _factors(op, edit)
    if len(names) != 2 or op.type != edit.type_of(names[0]):
        return None
    for x, gate in (names, names[::-1]):
        clipped = _clipped_sum(gate, edit)
        sixth = clipped is not None and _near(factor, 1 / 6)
        if sixth and clipped == (x, 3.0, 6.0):
            return HardSwish(name=op.name, inputs=(x,), source=op.source)
        form = _gelu_form(x, gate, edit) if _near(factor, 0.5) else None
        if form is not None:
            return Gelu(name=op.name, inputs=(x,), source=op.source, approximate=form)
    return None


def _factors(op: Op, edit: Edit) -> tuple[float, list[str]]:
    """The number and the tensors that a tree of products multiplies."""
    scaled = times_number(op, edit)
    if scaled is not None:
        inner = edit.single(scaled[0])
        factor, names = _factors(inner, edit) if isinstance(inner, (Mul, Div)) else (1.0, [])
        return scaled[1] * factor, names or [scaled[0]]
    if not isinstance(op, Mul) or op.relu or len(op.inputs) != 2:
        return 1.0, [op.name]
    factor, names = 1.0, []
    for name in op.inputs:
        inner = edit.single(name)
        scaled = times_number(inner, edit)
        factor *= scaled[1] if scaled else 1.0
        names.append(scaled[0] if scaled else name)
    return factor, names


def _gelu_form(x: str, gate: str, edit: Edit) -> bool | None:
    """Whether 1 + f(x) is that of the tanh form (True) or of erf (False); None: of neither."""
    shifted = plus_number(edit.single(gate), edit)
    inner = edit.single(shifted[0]) if shifted and shifted[1] == 1.0 else None
    scaled = times_number(edit.single(inner.inputs[0]), edit) if inner is not None else None
    if inner is None or scaled is None:
        return None
    if isinstance(inner, Erf) and scaled[0] == x and _near(scaled[1], math.sqrt(0.5)):
        return False
    if isinstance(inner, Tanh) and _near(scaled[1], math.sqrt(2 / math.pi)):
        return True if _is_cubic(x, edit.single(scaled[0]), edit) else None
    return None


def _is_cubic(x: str, op: Op | None, edit: Edit) -> bool:
    """x + 0.044715 * x^3."""
    if not is_sum(op) or x not in op.inputs:
        return False
    other = op.inputs[1 - op.inputs.index(x)]
    scaled = times_number(edit.single(other), edit)
    power = edit.single(scaled[0]) if scaled and _near(scaled[1], _CUBIC) else None
    if is_power(power, 3):
        return power.inputs == (x,)
    if not isinstance(power, Mul) or power.relu:
        return False
    return sorted(_leaves(power, edit)) == [x] * 3


def _leaves(op: Op, edit: Edit) -> list[str]:
    """The tensors that nested products multiply."""
    names = []
    for name in op.inputs:
        inner = edit.single(name)
        names += _leaves(inner, edit) if isinstance(inner, Mul) and not inner.relu else [name]
    return names


def _near(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=_CLOSE)
