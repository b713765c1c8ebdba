"""Which rule computes which float op in which precision, and which constraints it must keep.

The precision of a rule is the element type it computes in: INT8 or BF16 on the TPU, FP32
for what the runtime's CPU functions do.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from cvi.ir import DType, Graph, Op
from cvi_tpu.chip import ChipSpec

if TYPE_CHECKING:
    from cvi_tpu.quantized.rewriter import Rewriter

Rule = Callable[[Any, "Rewriter"], None]
"""Adds the quantised ops of one float op to the graph that the rewriter builds."""

Condition = Callable[[Any, Graph, ChipSpec], bool]
RuleT = TypeVar("RuleT", bound=Rule)
ConditionT = TypeVar("ConditionT", bound=Condition)


@dataclass(frozen=True)
class Constraint:
    """Something an op must keep to. Its text is the docstring of its condition.

    reason: what the chip cannot do otherwise. advice: what the user can do.
    """

    holds: Condition
    reason: str
    advice: str


_RULES: dict[DType, dict[type[Op], Rule]] = {}
_CONSTRAINTS: dict[DType, dict[type[Op], list[Constraint]]] = {}
_MIXES: dict[type[Op], Constraint] = {}


Precisions = DType | tuple[DType, ...]

TPU = (DType.INT8, DType.BF16)
"""The precisions of the TPU, for rules that hold in both."""


def _each(precision: Precisions) -> tuple[DType, ...]:
    return (precision,) if isinstance(precision, DType) else precision


def quantizes(*kinds: type[Op], precision: Precisions = DType.INT8) -> Callable[[RuleT], RuleT]:
    """Register the rule of these float ops and of their subclasses without a rule."""

    def register(rule: RuleT) -> RuleT:
        for one in _each(precision):
            _RULES.setdefault(one, {}).update(dict.fromkeys(kinds, rule))
        return rule

    return register


def requires(
    *kinds: type[Op], precision: Precisions = DType.INT8
) -> Callable[[ConditionT], ConditionT]:
    """Register a condition; its docstring is the reason, an empty line, and the advice."""

    def register(condition: ConditionT) -> ConditionT:
        constraint = _constraint(condition)
        for one in _each(precision):
            known = _CONSTRAINTS.setdefault(one, {})
            for kind in kinds:
                known.setdefault(kind, []).append(constraint)
        return condition

    return register


def mixes(*kinds: type[Op]) -> Callable[[ConditionT], ConditionT]:
    """Say that the BF16 rule of these float ops stores the weights in int8 when the rewriter
    asks for it, where a condition holds; its docstring is as for `requires`."""

    def register(condition: ConditionT) -> ConditionT:
        _MIXES.update(dict.fromkeys(kinds, _constraint(condition)))
        return condition

    return register


def _constraint(condition: Condition) -> Constraint:
    reason, _, advice = (inspect.getdoc(condition) or "").partition("\n\n")
    return Constraint(condition, " ".join(reason.split()), " ".join(advice.split()))


@functools.cache
def built_in(precision: DType = DType.INT8) -> Mapping[type[Op], Rule]:
    """Our own rules by float op."""
    from cvi_tpu.quantized import rules

    rules.load()
    return dict(_RULES.get(precision, {}))


def all_rules(precision: DType = DType.INT8) -> dict[type[Op], Rule]:
    """Our own rules, and those that other plugins register for the scheme that is named as
    the precision."""
    from cvi import plugins

    return {**built_in(precision), **plugins.quantizers(precision.value)}


def rule_for(op: Op, rules: Mapping[type[Op], Rule]) -> Rule | None:
    """The rule of the op's class, or of the nearest base class that has one."""
    return next((rules[kind] for kind in type(op).__mro__ if kind in rules), None)


def constraints_of(op: Op, precision: DType = DType.INT8) -> list[Constraint]:
    """The constraints of the op's class and of its base classes."""
    built_in(precision)
    known = _CONSTRAINTS.get(precision, {})
    return [c for kind in type(op).__mro__ for c in known.get(kind, ())]


def mixing(op: Op) -> Constraint | None:
    """On what it depends that the op's BF16 rule can store the weights in int8, None when it
    never does."""
    built_in(DType.BF16)
    return next((_MIXES[kind] for kind in type(op).__mro__ if kind in _MIXES), None)
