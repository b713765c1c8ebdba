"""In which precision every layer is computed: as planned where there is a rule for that,
else in the nearest one that has a rule."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cvi.ir import DType, Graph, Input, Op
from cvi.ops import Concat, Movement
from cvi.precision import Precision, PrecisionPlan
from cvi_tpu.chip import ChipSpec
from cvi_tpu.quantized.registry import Constraint, Rule, all_rules, constraints_of, mixing, rule_for

COMPUTES_IN = {
    Precision.INT8: DType.INT8,
    Precision.BF16: DType.BF16,
    Precision.MIX_BF16: DType.BF16,
}
"""The element type in which layers of a precision are computed."""

_NAMES = {DType.INT8: "INT8", DType.BF16: "BF16", DType.FP32: "fp32 on the CPU"}

_NEAREST = {
    DType.INT8: (DType.FP32, DType.BF16),
    DType.BF16: (DType.FP32, DType.INT8),
}


@dataclass(frozen=True)
class Choice:
    """The precision of a layer. note: why it is not the planned one, "" when it is.
    problems: why it can be computed in none. int8_weights: whether a BF16 layer stores its
    weights in int8."""

    precision: DType
    note: str = ""
    problems: tuple[str, ...] = ()
    int8_weights: bool = False


class Choices:
    """The precision of every layer of a graph.

    mixes: whether a layer may fall back to the other precision of the TPU.
    """

    def __init__(self, graph: Graph, plan: PrecisionPlan, spec: ChipSpec, *, mixes: bool) -> None:
        self._graph, self._spec, self._mixes = graph, spec, mixes
        self._default = plan.default
        self._users = graph.users()
        self._rules = {p: all_rules(p) for p in (DType.INT8, DType.BF16, DType.FP32)}
        self._choices = {
            op.name: self._choose(op, plan.mode(op.name))
            for op in graph.ops
            if not isinstance(op, Input)
        }

    def __getitem__(self, name: str) -> Choice:
        return self._choices[name]

    def items(self) -> Iterator[tuple[Op, Choice]]:
        """Every layer but the inputs, in order."""
        return ((op, self._choices[op.name]) for op in self._graph.ops if op.name in self._choices)

    def uses(self, precision: DType) -> bool:
        """Whether some layer that computes is of this precision."""
        return any(
            choice.precision is precision and not isinstance(op, Movement)
            for op, choice in self.items()
        )

    def read_in(self, name: str) -> frozenset[DType]:
        """Precisions of the layers that read a result, through ops that only move it."""
        found: set[DType] = set()
        for user in self._users[name]:
            if isinstance(user, Movement) and not isinstance(user, Concat):
                found |= self.read_in(user.name)
            else:
                found.add(self[user.name].precision)
        return frozenset(found)

    def rule(self, op: Op) -> Rule:
        """The rule by which a layer is computed, which must have no problems."""
        found = rule_for(op, self._rules[self[op.name].precision])
        assert found is not None
        return found

    def _choose(self, op: Op, mode: Precision) -> Choice:
        asked = COMPUTES_IN[mode]
        obstacles = self._obstacles(op, asked)
        if not obstacles:
            return self._mixed(op) if mode is Precision.MIX_BF16 else Choice(asked)
        for other in _NEAREST[asked]:
            if (other is DType.FP32 or self._mixes) and not self._obstacles(op, other):
                return Choice(other, _fallen(op, asked, other, obstacles[0]))
        found = self._nearest_obstacles(op, asked)
        if asked is DType.INT8 and not self._obstacles(op, DType.BF16):
            found = [f"{_reason(one)}; {_MIXED}" for one in found]
        return Choice(asked, problems=tuple(found))

    def _mixed(self, op: Op) -> Choice:
        """BF16 with weights in int8, or plain BF16. That is no news of an op without weights
        when all layers are to have them in int8."""
        condition = mixing(op)
        if condition is not None and condition.holds(op, self._graph, self._spec):
            return Choice(DType.BF16, int8_weights=True)
        weighs = any(name in self._graph.constants for name in op.inputs)
        expected = self._default is Precision.MIX_BF16 and not weighs and condition is None
        return Choice(DType.BF16, "" if expected else _unmixed(op, condition))

    def _nearest_obstacles(self, op: Op, asked: DType) -> list[str]:
        """Those of the planned precision, or of the CPU where only that has a rule."""
        if rule_for(op, self._rules[asked]) or not rule_for(op, self._rules[DType.FP32]):
            return self._obstacles(op, asked)
        return self._obstacles(op, DType.FP32)

    def _obstacles(self, op: Op, precision: DType) -> list[str]:
        """What keeps a layer from being computed in a precision."""
        if rule_for(op, self._rules[precision]) is None:
            return [
                f"there is no {_NAMES[precision]} rule for this op; end the network before it "
                "with --outputs, or install a plugin with a rule"
            ]
        broken = [
            c for c in constraints_of(op, precision) if not c.holds(op, self._graph, self._spec)
        ]
        return [f"{c.reason}; {c.advice}" if c.advice else c.reason for c in broken]


_MIXED = "use --quant mixed, which computes the layer in BF16"


_MIXING = "only matrix products and tables of embeddings have those"


def _reason(obstacle: str) -> str:
    """An obstacle without its advice."""
    return obstacle.split(";", maxsplit=1)[0]


def _unmixed(op: Op, condition: Constraint | None) -> str:
    reason = condition.reason if condition else _MIXING
    return f"{op.name} ({op.kind}) is computed in BF16 without weights in int8: {reason}"


def _fallen(op: Op, asked: DType, other: DType, reason: str) -> str:
    """Softmax and detections run on the CPU in an INT8 network as a matter of course."""
    if asked is DType.INT8 and other is DType.FP32:
        return ""
    how = f"is computed in {_NAMES[other]} instead of {_NAMES[asked]}"
    return f"{op.name} ({op.kind}) {how}: {_reason(reason)}"
