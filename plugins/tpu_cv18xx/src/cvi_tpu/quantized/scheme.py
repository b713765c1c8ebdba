"""The scheme "int8": a float graph to the quantised ops of these chips."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cvi.errors import InputError, UnsupportedError
from cvi.ir import DType, Graph, Input
from cvi_tpu.chip import ChipSpec
from cvi_tpu.quantized.registry import all_rules, constraints_of, rule_for
from cvi_tpu.quantized.rewriter import Rewriter
from cvi_tpu.quantized.rules.lookup import INDICES
from cvi_tpu.quantized.thresholds import Thresholds

if TYPE_CHECKING:
    from cvi.calibrate.table import CalibrationTable
    from cvi.hookspecs import Chip
    from cvi.precision import PrecisionPlan

_TYPES = ("int8", "fp32")


class Int8Scheme:
    """Symmetric INT8: one scale T/127 per tensor, one per output channel of a filter.

    Every layer keeps its name, so that the quantised result times its scale can be
    compared with the float layer; helper layers are called `<layer>_<what they do>`.
    """

    name = "int8"

    def quantize(
        self,
        graph: Graph,
        table: CalibrationTable | None,
        plan: PrecisionPlan,
        chip: Chip,
        *,
        inputs_type: str = "int8",
        outputs_type: str = "fp32",
    ) -> Graph:
        """The quantised graph; its outputs are in the order of the float graph's.

        inputs_type, outputs_type: int8, or fp32 with casts on the CPU; inputs of integers
        stay what they are, positions and lists of boxes are always fp32. UnsupportedError
        lists every layer that cannot be quantised, InputError when the table lacks one.
        """
        _check_type("inputs type", inputs_type)
        _check_type("outputs type", outputs_type)
        _check_plan(graph, plan)
        self._check(graph, chip)
        to = Rewriter(graph, Thresholds(graph, table), spec_of(chip))
        rules = all_rules()
        for op in graph.ops:
            if isinstance(op, Input):
                to.define_input(op, as_fp32=inputs_type == "fp32")
                continue
            rule = rule_for(op, rules)
            assert rule is not None  # problems() has reported ops without a rule
            rule(op, to)
        to.graph.outputs = tuple(
            to.fp32(name)
            if outputs_type == "fp32" or _has_no_scale(name, to)
            else to.int8(name).name
            for name in graph.outputs
        )
        to.graph.check()
        return to.graph

    def problems(self, graph: Graph, chip: Chip) -> list[str]:
        """Layers that this scheme cannot quantise for the chip: name, op, reason, advice."""
        spec = spec_of(chip)
        rules = all_rules()
        found = []
        for op in graph.ops:
            where = f"{op.name} ({op.kind}): "
            if isinstance(op, Input):
                if op.type.dtype not in (DType.FP32, *INDICES):
                    found.append(f"{where}the input is {op.type}; INT8 needs fp32 inputs")
                continue
            broken = [c for c in constraints_of(op) if not c.holds(op, graph, spec)]
            found += [where + (f"{c.reason}; {c.advice}" if c.advice else c.reason) for c in broken]
            if not broken and rule_for(op, rules) is None:
                found.append(
                    f"{where}there is no INT8 rule for this op; end the network before it with "
                    "--outputs, or install a plugin with a rule"
                )
        return found

    def _check(self, graph: Graph, chip: Chip) -> None:
        problems = self.problems(graph, chip)
        if problems:
            raise UnsupportedError(
                f"INT8 cannot do {len(problems)} of the network's layers",
                where=graph.name,
                fix="see the advice of each",
                problems=problems,
            )


def spec_of(chip: Chip) -> ChipSpec:
    """The numbers of a chip of this family."""
    spec = getattr(chip, "spec", None)
    if not isinstance(spec, ChipSpec):
        raise UnsupportedError(
            "this chip is none of the CV18xx family, whose arithmetic this scheme knows",
            where=chip.name,
        )
    return spec


def _has_no_scale(name: str, to: Rewriter) -> bool:
    """Whether a value is made of positions or is a list of boxes: numbers of classes and
    pixels have no one scale."""
    op = to.source.get(name)
    return to.is_index(name) or (op is not None and bool(op.incomparable))


def _check_type(label: str, value: str) -> None:
    if value not in _TYPES:
        raise InputError(f"the {label} {value!r} is not one of {', '.join(_TYPES)}")


def _check_plan(graph: Graph, plan: PrecisionPlan) -> None:
    from cvi.precision import Precision

    if plan.default is not Precision.INT8:
        raise UnsupportedError(
            f"the scheme int8 cannot compute layers in {plan.default}", fix="use --quant int8"
        )
    others = [f"{name}: {mode}" for name, mode in plan.layers.items()]
    if others:
        raise UnsupportedError(
            "the scheme int8 computes every layer in INT8",
            where=graph.name,
            fix="leave the mix table out",
            problems=others,
        )
