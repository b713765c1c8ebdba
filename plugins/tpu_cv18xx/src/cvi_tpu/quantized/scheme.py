"""The schemes "int8", "bf16", "mix_bf16" and "mixed": a float graph to the quantised ops of
these chips.

They are one scheme with different plans: which layer is computed in which precision.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from cvi.errors import InputError, UnsupportedError
from cvi.ir import Array, DType, Graph, Input
from cvi.macs import macs
from cvi.precision import Precision, PrecisionPlan
from cvi_tpu.chip import ChipSpec
from cvi_tpu.quantized.choice import COMPUTES_IN, Choices
from cvi_tpu.quantized.last_sums import keep_last_sums
from cvi_tpu.quantized.learning import MANY, learn_rounding
from cvi_tpu.quantized.offsets import offset_layers
from cvi_tpu.quantized.rewriter import Rewriter
from cvi_tpu.quantized.rules.lookup import INDICES
from cvi_tpu.quantized.thresholds import Thresholds, no_table

if TYPE_CHECKING:
    from cvi.calibrate.table import CalibrationTable
    from cvi.flow.progress import Progress
    from cvi.hookspecs import Chip

_TYPES = {"int8": DType.INT8, "bf16": DType.BF16, "fp32": DType.FP32}

_LEARNING_WORK = 3_000_000_000
"""Multiplications of all samples: in the exact order of BF16 sums they take seconds."""

AUTO = "auto"
"""The type of an input that its layers compute in."""


class TpuScheme:
    """Symmetric INT8 (one scale T/127 per tensor, one per output channel of a filter) and
    BF16, as the plan says.

    default: the precision of layers that no plan names. mixes: whether a layer that cannot
    be computed in its precision may fall back to the other one.
    Every layer keeps its name, so that the quantised result times its scale can be
    compared with the float layer; helper layers are called `<layer>_<what they do>`.
    """

    name: str
    default: Precision
    mixes = False

    def quantize(
        self,
        graph: Graph,
        table: CalibrationTable | None,
        plan: PrecisionPlan | None,
        chip: Chip,
        *,
        inputs_type: str = AUTO,
        outputs_type: str = "fp32",
    ) -> Graph:
        """The quantised graph; its outputs are in the order of the float graph's.

        inputs_type, outputs_type: int8, bf16 or fp32; inputs "auto": as they are computed
        with. Inputs of integers stay what they are, and positions (of maxima) and lists of
        boxes are always fp32. UnsupportedError lists every layer that cannot be computed,
        InputError when INT8 layers lack a threshold.
        """
        made = self._rewritten(graph, table, plan, chip, inputs_type, outputs_type)
        return keep_last_sums(made.graph, made.spec)

    def quantize_learned(
        self,
        graph: Graph,
        table: CalibrationTable | None,
        plan: PrecisionPlan | None,
        chip: Chip,
        samples: Iterable[Mapping[str, Array]],
        *,
        thorough: bool = True,
        inputs_type: str = AUTO,
        outputs_type: str = "fp32",
        progress: Progress,
    ) -> Graph:
        """See `cvi.hookspecs.LearnsRounding`; raises what `quantize` does."""
        made = self._rewritten(graph, table, plan, chip, inputs_type, outputs_type)
        most = MANY if thorough else _few(graph)
        learned = learn_rounding(made.graph, made.filters, samples, progress, most)
        return keep_last_sums(learned, made.spec)

    def _rewritten(
        self,
        graph: Graph,
        table: CalibrationTable | None,
        plan: PrecisionPlan | None,
        chip: Chip,
        inputs_type: str,
        outputs_type: str,
    ) -> Rewriter:
        """The rewriter with the finished graph."""
        _check_type("inputs type", inputs_type, (*_TYPES, AUTO))
        _check_type("outputs type", outputs_type, tuple(_TYPES))
        choices = self._choices(graph, plan, chip, fp32_outputs=_TYPES[outputs_type] is DType.FP32)
        self._check(graph, choices)
        if table is None and choices.uses(DType.INT8):
            raise no_table(graph)
        thresholds, offsets = _scales(graph, choices, table)
        to = Rewriter(graph, thresholds, spec_of(chip), offsets)
        for op in graph.ops:
            if isinstance(op, Input):
                to.define_input(op, _input_type(op, graph, choices, inputs_type))
                continue
            choice = choices[op.name]
            to.precision, to.int8_weights = choice.precision, choice.int8_weights
            to.read_in = choices.read_in(op.name)
            choices.rule(op)(op, to)
        to.graph.outputs = tuple(
            to.form(name, DType.FP32 if _has_no_scale(name, to) else _TYPES[outputs_type]).name
            for name in graph.outputs
        )
        to.graph.check()
        return to

    def problems(self, graph: Graph, chip: Chip, plan: PrecisionPlan | None = None) -> list[str]:
        """Layers that this scheme cannot compute for the chip: name, op, reason, advice."""
        return list(_problems(graph, self._choices(graph, plan, chip)))

    def notes(self, graph: Graph, chip: Chip, plan: PrecisionPlan | None = None) -> list[str]:
        """Layers that are computed in another precision than planned, and why."""
        return [c.note for _, c in self._choices(graph, plan, chip).items() if c.note]

    def _choices(
        self, graph: Graph, plan: PrecisionPlan | None, chip: Chip, *, fp32_outputs: bool = True
    ) -> Choices:
        spec = spec_of(chip)
        plan = plan or PrecisionPlan(self.default)
        self._check_plan(graph, plan)
        return Choices(graph, plan, spec, mixes=self.mixes, fp32_outputs=fp32_outputs)

    def _check_plan(self, graph: Graph, plan: PrecisionPlan) -> None:
        if plan.default is not self.default:
            raise UnsupportedError(
                f"the scheme {self.name} cannot compute layers in {plan.default}",
                fix=f"use --quant {plan.default.value.lower()}",
            )
        own = COMPUTES_IN[self.default]
        others = [f"{name}: {m}" for name, m in plan.layers.items() if COMPUTES_IN[m] is not own]
        if others and not self.mixes:
            raise UnsupportedError(
                f"the scheme {self.name} computes every layer in {own.value.upper()}",
                where=graph.name,
                fix="use --quant mixed, or leave the mix table out",
                problems=others,
            )

    def _check(self, graph: Graph, choices: Choices) -> None:
        problems = list(_problems(graph, choices))
        if problems:
            raise UnsupportedError(
                f"{self.name.upper()} cannot do {len(problems)} of the network's layers",
                where=graph.name,
                fix="see the advice of each",
                problems=problems,
            )


class Int8Scheme(TpuScheme):
    """Every layer in INT8."""

    name = "int8"
    default = Precision.INT8


class Bf16Scheme(TpuScheme):
    """Every layer in BF16."""

    name = "bf16"
    default = Precision.BF16


class MixBf16Scheme(TpuScheme):
    """Every layer in BF16, with weights in int8 where there is a way (FACTS_TOOLCHAIN 6.5)."""

    name = "mix_bf16"
    default = Precision.MIX_BF16


class MixedScheme(TpuScheme):
    """INT8, but for layers that the plan names and those that INT8 cannot do."""

    name = "mixed"
    default = Precision.INT8
    mixes = True


def _scales(
    graph: Graph, choices: Choices, table: CalibrationTable | None
) -> tuple[Thresholds | None, frozenset[str]]:
    """The thresholds of int8 tensors, and those that are stored from -128 on. What suits sums
    depends on these, and can change again what a convolution can store so."""
    if table is None:
        return None, frozenset()
    thresholds = Thresholds(graph, table)
    thresholds.suit_sums(graph, offset_layers(graph, choices, thresholds))
    return thresholds, offset_layers(graph, choices, thresholds)


def _few(graph: Graph) -> int:
    """Samples that are enough: 16, less for a network so large that it takes minutes."""
    work = sum(macs(graph, op) for op in graph)
    return min(16, max(2, _LEARNING_WORK // max(work, 1)))


def spec_of(chip: Chip) -> ChipSpec:
    """The numbers of a chip of this family."""
    spec = getattr(chip, "spec", None)
    if not isinstance(spec, ChipSpec):
        raise UnsupportedError(
            "this chip is none of the CV18xx family, whose arithmetic this scheme knows",
            where=chip.name,
        )
    return spec


def _problems(graph: Graph, choices: Choices) -> Iterator[str]:
    for op in graph.inputs:
        if op.type.dtype not in (DType.FP32, *INDICES):
            yield f"{op.name} ({op.kind}): the input is {op.type}; the TPU needs fp32 inputs"
    for layer, choice in choices.items():
        yield from (f"{layer.name} ({layer.kind}): {problem}" for problem in choice.problems)


def _has_no_scale(name: str, to: Rewriter) -> bool:
    """Whether a value is made of positions or is a list of boxes: numbers of classes and
    pixels have no one scale."""
    op = to.source.get(name)
    return to.is_index(name) or (op is not None and bool(op.incomparable))


def _input_type(op: Input, graph: Graph, choices: Choices, asked: str) -> DType:
    """The type of a network input: as asked, else that of the layers that read it, BF16 if
    some are of that and some of another."""
    if asked != AUTO:
        return _TYPES[asked]
    types = {choices[user.name].precision for user in graph.users()[op.name]}
    return next((t for t in (DType.BF16, DType.INT8) if t in types), DType.FP32)


def _check_type(label: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise InputError(f"the {label} {value!r} is not one of {', '.join(known)}")
