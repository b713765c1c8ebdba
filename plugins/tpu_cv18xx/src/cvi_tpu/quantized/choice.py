"""In which precision every layer is computed: as planned where there is a rule for that,
else in the nearest one that has a rule."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from cvi.ir import DType, Graph, Input, Op
from cvi.ops import AvgPool2d, Concat, Movement
from cvi.ops.followers import FOLLOWERS
from cvi.precision import Precision, PrecisionPlan
from cvi_tpu.chip import ChipSpec
from cvi_tpu.quantized.last_sums import sums_fit
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

    mixes: whether a layer may fall back to the other precision of the TPU. fp32_outputs: whether
    the network's outputs are fp32.
    """

    def __init__(
        self,
        graph: Graph,
        plan: PrecisionPlan,
        spec: ChipSpec,
        *,
        mixes: bool,
        fp32_outputs: bool = True,
    ) -> None:
        self._graph, self._spec, self._mixes = graph, spec, mixes
        self._fp32_outputs = fp32_outputs
        self._default = plan.default
        self._users = graph.users()
        self._rules = {p: all_rules(p) for p in (DType.INT8, DType.BF16, DType.FP32)}
        self._choices = {
            op.name: self._choose(op, plan.mode(op.name))
            for op in graph.ops
            if not isinstance(op, Input)
        }
        for op in graph.ops:
            if self._gives_scores(op) or (mixes and self._follows(op, plan)):
                self._choices[op.name] = Choice(DType.BF16)

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
        return frozenset(self._readers(name, _is_moved))

    def _follows(self, op: Op, plan: PrecisionPlan) -> bool:
        """Whether a layer that is no matter of precision is computed in BF16 because what it
        reads is, and a layer that reads it."""
        if not _is_follower(op) or op.name in plan.layers:
            return False
        if self[op.name].precision is not DType.INT8 or self._obstacles(op, DType.BF16):
            return False
        # Through followers too: those behind have not been chosen yet.
        readers = self._readers(op.name, lambda user: _is_moved(user) or _is_follower(user))
        return self._computed_in(op.inputs[0]) is DType.BF16 and DType.BF16 in readers

    def _gives_scores(self, op: Op) -> bool:
        """Whether a layer in INT8 is a mean of whole images that is read as fp32: scores at the
        network's end, for which int8 is too coarse. In BF16 the mean is its fp32 sums, which
        costs little."""
        if not isinstance(op, AvgPool2d) or self[op.name].precision is not DType.INT8:
            return False
        shape = self._graph.type_of(op.inputs[0]).shape
        whole = op.kernel == shape[2:] and not any((*op.pads, op.relu))
        return whole and sums_fit(shape, self._spec) and self._is_read_as_fp32(op.name)

    def _is_read_as_fp32(self, name: str) -> bool:
        """Whether only functions on the CPU and fp32 outputs read a result."""
        if name in self._graph.outputs and not self._fp32_outputs:
            return False
        return all(
            self._is_read_as_fp32(user.name)
            if _is_moved(user)
            else self[user.name].precision is DType.FP32
            for user in self._users[name]
        )

    def _readers(self, name: str, passes: Callable[[Op], bool]) -> set[DType]:
        """Precisions of the layers that read a result, through ops that are passed."""
        found: set[DType] = set()
        for user in self._users[name]:
            behind = self._readers(user.name, passes) if passes(user) else None
            found |= {self[user.name].precision} if behind is None else behind
        return found

    def _computed_in(self, name: str) -> DType | None:
        """The type in which a value is computed; None for inputs and constants."""
        op = self._graph.get(name)
        if op is None or isinstance(op, Input):
            return None
        if isinstance(op, Movement):
            types = {self._computed_in(source) for source in op.inputs} - {None}
            return types.pop() if len(types) == 1 else self[name].precision
        return self[name].precision

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


def _is_moved(op: Op) -> bool:
    """Whether a result is that of the operand."""
    return isinstance(op, Movement) and not isinstance(op, Concat)


def _is_follower(op: Op) -> bool:
    return isinstance(op, FOLLOWERS)


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
