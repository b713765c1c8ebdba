"""Small float networks, their calibration by maximum, and their quantisation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from cvi.calibrate.table import CalibrationTable, Threshold
from cvi.execute import evaluate
from cvi.hookspecs import CompileOptions
from cvi.ir import Array, DType, Graph, Input, Op, TensorType
from cvi.precision import PrecisionPlan
from cvi_chip_cv183x.spec import CV183X
from cvi_tpu.chip import ChipSpec
from cvi_tpu.quantized.scheme import Int8Scheme


@dataclass
class BareChip:
    """A chip of which only the numbers matter."""

    spec: ChipSpec = CV183X
    name: str = "cv183x"
    summary: str = ""
    schemes: tuple[str, ...] = ("int8",)

    def check(self, graph: Graph) -> list[str]:
        return []

    def compile(self, graph: Graph, options: CompileOptions) -> bytes:
        raise NotImplementedError


def chip(**changes: object) -> BareChip:
    return BareChip(replace(CV183X, **changes))  # type: ignore[arg-type]


def network(
    *ops: Op,
    inputs: Mapping[str, tuple[int, ...]] | None = None,
    outputs: tuple[str, ...] = (),
    **constants: Array,
) -> Graph:
    """A graph with the input `x` [1,4,8,8] unless said otherwise; the last op is the output."""
    graph = Graph("net")
    graph.constants = {k: np.asarray(v, np.float32) for k, v in constants.items()}
    for name, shape in (inputs or {"x": (1, 4, 8, 8)}).items():
        graph.add(Input(name=name, type=TensorType(shape)))
    for op in ops:
        graph.add(op)
    graph.outputs = outputs or (ops[-1].name,)
    graph.check()
    return graph


def random(*shape: int, seed: int = 0, low: float = -1.0, high: float = 1.0) -> Array:
    return np.random.default_rng(seed).uniform(low, high, shape).astype(np.float32)


def table_of(thresholds: Mapping[str, float]) -> CalibrationTable:
    return CalibrationTable({k: Threshold(v, -v, v) for k, v in thresholds.items()})


def samples(graph: Graph, seed: int = 0, low: float = -1.0, high: float = 1.0) -> dict[str, Array]:
    """Random inputs that hold the largest value and otherwise multiples of 1/127 of it,
    so that the int8 input represents them exactly."""
    top = high if abs(high) >= abs(low) else low
    step = abs(top) / 127
    result = {}
    for i, op in enumerate(graph.inputs):
        steps = np.round(random(*op.type.shape, seed=seed + i, low=low, high=high) / step)
        steps.reshape(-1)[0] = np.sign(top) * 127
        result[op.name] = (steps * step).astype(np.float32)
    return result


def calibrated(graph: Graph, inputs: Mapping[str, Array], **forced: float) -> CalibrationTable:
    """Thresholds: the absolute maximum of every layer, or what `forced` says."""
    values = evaluate(graph, inputs, keep=True)
    found = {}
    for name, array in values.items():
        if array.dtype == np.float32:
            top = float(np.abs(array).max(initial=0)) or 1.0
            low, high = float(array.min()), float(array.max())
            found[name] = Threshold(top, low, high)
    for name, value in forced.items():
        found[name] = replace(found[name], threshold=value)
    for op in graph.inputs:
        if op.name not in forced:
            found[op.name] = replace(found[op.name], threshold=_exact(inputs[op.name]))
    return CalibrationTable(found)


def _exact(array: Array) -> float:
    return max(float(np.abs(array).max()), 1e-3)


def quantise(
    graph: Graph,
    table: CalibrationTable,
    on: BareChip | None = None,
    *,
    inputs_type: str = "int8",
    outputs_type: str = "fp32",
) -> Graph:
    return Int8Scheme().quantize(
        graph,
        table,
        PrecisionPlan(),
        on or BareChip(),
        inputs_type=inputs_type,
        outputs_type=outputs_type,
    )


def int8_inputs(quantised: Graph, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """What the caller feeds: x / scale, rounded."""
    result = {}
    for op in quantised.inputs:
        x = inputs[op.name]
        if op.type.dtype is DType.INT8:
            assert op.type.scale is not None
            x = np.clip(np.rint(x / op.type.scale), -128, 127).astype(np.int8)
        result[op.name] = x
    return result


def real(quantised: Graph, name: str, values: Array) -> Array:
    scale = quantised.type_of(name).scale
    return values if scale is None else values.astype(np.float64) * scale


def worst_steps(
    graph: Graph,
    inputs: Mapping[str, Array],
    table: CalibrationTable | None = None,
    on: BareChip | None = None,
) -> float:
    """Largest error of the network's int8 results, in steps of the result."""
    table = table or calibrated(graph, inputs)
    quantised = quantise(graph, table, on)
    wanted = [n for n in graph.outputs if quantised.type_of(n).dtype is DType.INT8]
    assert wanted
    exact = evaluate(graph, inputs, outputs=wanted)
    got = evaluate(quantised, int8_inputs(quantised, inputs), outputs=wanted)
    worst = 0.0
    for name in wanted:
        assert got[name].shape == exact[name].shape
        scale = quantised.type_of(name).scale
        assert scale is not None
        error = np.abs(exact[name].astype(np.float64) - real(quantised, name, got[name]))
        worst = max(worst, float(error.max()) / scale)
    return worst


def kinds(graph: Graph) -> list[str]:
    return [op.kind for op in graph.ops]
