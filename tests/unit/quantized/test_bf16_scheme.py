"""The scheme in BF16 and with a precision per layer."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from small_nets import BareChip, calibrated, chip, network, samples, table_of

from bf16_layers import LAYERS
from cvi import ops
from cvi.compare import compare_tensors
from cvi.errors import InputError, UnsupportedError
from cvi.execute import evaluate
from cvi.flow.real import quantised_inputs, real_values
from cvi.ir import DType, Graph
from cvi.precision import Precision, PrecisionPlan
from cvi_tpu.quantized.choice import Choices
from cvi_tpu.quantized.scheme import Bf16Scheme, Int8Scheme, MixedScheme, TpuScheme


def bf16(graph: Graph, on: BareChip | None = None, **types: str) -> Graph:
    return Bf16Scheme().quantize(graph, None, None, on or BareChip(), **types)


@pytest.mark.parametrize("layer", LAYERS)
def test_layers_are_near_their_floats(layer: str) -> None:
    layers, constants = LAYERS[layer]
    graph = network(*layers, **constants)
    x = samples(graph)
    quantised = bf16(graph)
    values = evaluate(quantised, quantised_inputs(quantised, x), keep=True)
    fast = evaluate(quantised, quantised_inputs(quantised, x), keep=True, exact=False)
    want = evaluate(graph, x, keep=True)
    for op in graph.ops:
        for found in (values, fast):
            real = real_values(quantised, {op.name: found[op.name]})[op.name]
            assert compare_tensors(real, want[op.name]).cosine > 0.9999, op.name


def test_large_windows_are_reduced_in_two_steps() -> None:
    graph = network(
        ops.MaxPool2d(name="y", inputs=("x",), kernel=(100, 100)), inputs={"x": (1, 2, 100, 100)}
    )
    x = samples(graph)
    quantised = bf16(graph, inputs_type="fp32")
    assert [op.kind for op in quantised.ops].count("Bf16MaxPool2d") == 2
    want = evaluate(graph, x)["y"]
    assert np.abs(evaluate(quantised, x)[quantised.outputs[0]] - want).max() < 0.004


def test_steps_of_a_sequence_share_their_weights() -> None:
    layers, constants = LAYERS["lstm"]
    quantised = bf16(network(*layers, **constants))
    weights = [a.shape for a in quantised.constants.values() if a.shape[2:] == (1, 1)]
    assert sorted(weights) == [(20, 5, 1, 1)] * 2 + [(20, 16, 1, 1)] * 2


def test_casts_are_added_once() -> None:
    graph = network(
        ops.Relu(name="a", inputs=("x",)),
        ops.Relu(name="b", inputs=("a",)),
        ops.Neg(name="c", inputs=("a",)),
        ops.Abs(name="d", inputs=("a",)),
        outputs=("b", "c", "d", "a"),
    )
    plan = PrecisionPlan(layers={"b": Precision.BF16, "c": Precision.BF16})
    table = calibrated(graph, samples(graph))
    quantised = MixedScheme().quantize(graph, table, plan, BareChip())
    kinds = Counter(op.kind for op in quantised.ops)
    assert kinds["Bf16FromInt8"] == 1
    assert quantised["a_dequant_bf16"].inputs == ("a",)
    assert quantised["d"].type.dtype is DType.INT8
    assert quantised["c"].type.dtype is DType.BF16
    assert kinds["Fp32FromBf16"] == 2 and kinds["Dequantize"] == 2


def test_int8_layers_read_bf16_ones() -> None:
    graph = network(ops.Neg(name="a", inputs=("x",)), ops.Relu(name="b", inputs=("a",)))
    plan = PrecisionPlan(layers={"a": Precision.BF16})
    x = samples(graph)
    quantised = MixedScheme().quantize(graph, calibrated(graph, x), plan, BareChip())
    assert quantised["x"].type.dtype is DType.BF16
    assert [op.kind for op in quantised.ops] == [
        "Input", "Bf16MulConstant", "Int8FromBf16", "Int8Clip", "Dequantize",
    ]  # fmt: skip
    y = evaluate(quantised, quantised_inputs(quantised, x))[quantised.outputs[0]]
    assert np.abs(y - evaluate(graph, x)["b"]).max() < 0.02


def test_movements_stay_where_their_operand_is() -> None:
    graph = network(
        ops.Neg(name="a", inputs=("x",)),
        ops.Slice(name="s", inputs=("a",), starts=(0,) * 4, sizes=(1, 2, 8, 8), steps=(1,) * 4),
        ops.Relu(name="r", inputs=("s",)),
        ops.Upsample(name="u", inputs=("r",), factors=(2, 2)),
        ops.Abs(name="y", inputs=("u",)),
    )
    plan = PrecisionPlan(layers={"a": Precision.BF16, "y": Precision.BF16})
    quantised = MixedScheme().quantize(graph, calibrated(graph, samples(graph)), plan, BareChip())
    assert quantised["s"].type.dtype is DType.BF16  # then cast: fewer elements
    assert quantised["u"].type.dtype is DType.BF16  # cast before: fewer elements
    assert quantised["r"].type.dtype is DType.INT8


def _conv(name: str, source: str) -> ops.Conv2d:
    return ops.Conv2d(name=name, inputs=(source, "w", ""))


@pytest.mark.parametrize(
    ("planned", "kinds"),
    [
        ("ab", ("BF16", "BF16")),  # between two layers in BF16
        ("ac", ("BF16", "BF16")),  # one of its readers is enough
        ("a", ("INT8", "INT8")),
        ("bc", ("INT8", "INT8")),
        ("abm", ("BF16", "BF16")),  # as planned
    ],
)
def test_maxima_and_clamps_follow_their_neighbours(planned: str, kinds: tuple[str, str]) -> None:
    graph = network(
        _conv("a", "x"),
        ops.MaxPool2d(name="m", inputs=("a",), kernel=(2, 2)),
        ops.Permute(name="p", inputs=("m",), order=(0, 1, 3, 2)),
        ops.Clip(name="clip", inputs=("p",), minimum=-0.5, maximum=0.25),
        _conv("b", "clip"), _conv("c", "clip"),
        outputs=("b", "c"), w=np.random.default_rng(0).standard_normal((4, 4, 1, 1)),
    )  # fmt: skip
    plan = PrecisionPlan(Precision.INT8, dict.fromkeys(planned, Precision.BF16))
    made = MixedScheme().quantize(graph, calibrated(graph, samples(graph)), plan, BareChip())
    assert (made["m"].type.dtype.name, made["clip"].type.dtype.name) == kinds


def test_joined_tensors_keep_their_common_type() -> None:
    layers = [
        ops.Neg(name="a", inputs=("x",)),
        ops.Abs(name="b", inputs=("x",)),
        ops.Concat(name="y", inputs=("a", "b"), axis=1),
    ]
    graph = network(*layers)
    table = calibrated(graph, samples(graph))
    for names, dtype in ((("a", "b"), DType.BF16), (("a",), DType.INT8), (("a", "y"), DType.BF16)):
        plan = PrecisionPlan(layers=dict.fromkeys(names, Precision.BF16))
        quantised = MixedScheme().quantize(graph, table, plan, BareChip(), outputs_type="bf16")
        assert quantised["y"].type.dtype is dtype


def test_chips_without_cpu_functions_cast_and_divide_on_the_tpu() -> None:
    graph = network(ops.Softmax(name="y", inputs=("x",), axis=1))
    on = chip(has_cpu_functions=False)
    quantised = bf16(graph, on, inputs_type="fp32", outputs_type="fp32")
    assert [op.type.dtype for op in (quantised["x"], quantised[quantised.outputs[0]])] == [
        DType.FP32, DType.FP32,
    ]  # fmt: skip
    assert {"CpuSoftmax", "Quantize", "Dequantize"}.isdisjoint(op.kind for op in quantised.ops)
    relu = network(ops.Relu(name="y", inputs=("x",)))
    int8 = Int8Scheme().quantize(relu, table_of({"x": 1.0, "y": 1.0}), None, on, inputs_type="fp32")
    assert [op.kind for op in int8.ops] == [
        "Input", "Bf16FromFp32", "Int8FromBf16", "Int8Clip", "Bf16FromInt8", "Fp32FromBf16",
    ]  # fmt: skip


def test_layers_fall_to_the_nearest_precision_and_say_so() -> None:
    graph = network(
        ops.LayerNorm(name="n", inputs=("x", "", ""), axis=3),
        ops.Relu(name="y", inputs=("n",)),
    )
    scheme = MixedScheme()
    (note,) = scheme.notes(graph, BareChip())
    assert note.startswith("n (LayerNorm) is computed in BF16 instead of INT8: there is no INT8")
    assert not scheme.problems(graph, BareChip())
    quantised = scheme.quantize(graph, calibrated(graph, samples(graph)), None, BareChip())
    assert quantised["n"].type.dtype is DType.BF16 and quantised["y"].type.dtype is DType.INT8
    (problem,) = Int8Scheme().problems(graph, BareChip())
    assert "no INT8 rule" in problem


@pytest.mark.parametrize(
    ("scheme", "plan", "why"),
    [
        (Bf16Scheme(), PrecisionPlan(), "cannot compute layers in INT8"),
        (Bf16Scheme(), PrecisionPlan(Precision.BF16, {"y": Precision.INT8}), "every layer in BF16"),
        (Int8Scheme(), PrecisionPlan(layers={"y": Precision.BF16}), "every layer in INT8"),
    ],
)
def test_plans_that_a_scheme_does_not_do(scheme: TpuScheme, plan: PrecisionPlan, why: str) -> None:
    graph = network(ops.Relu(name="y", inputs=("x",)))
    with pytest.raises(UnsupportedError, match=why):
        scheme.quantize(graph, None, plan, BareChip())


def test_int8_layers_need_thresholds() -> None:
    graph = network(ops.Relu(name="y", inputs=("x",)))
    with pytest.raises(InputError, match="INT8 needs a calibration table"):
        MixedScheme().quantize(graph, None, None, BareChip())
    with pytest.raises(InputError, match="INT8 needs a calibration table"):
        bf16(graph, inputs_type="int8")


def test_constraints_hold_per_precision() -> None:
    window = (120, 121)  # fits half of a lane's memory in INT8 only
    graph = network(
        ops.AvgPool2d(name="y", inputs=("x",), kernel=window), inputs={"x": (1, 2, 121, 121)}
    )
    plan, spec = PrecisionPlan(Precision.BF16), BareChip().spec
    choice = Choices(graph, plan, spec, mixes=True)["y"]
    assert (
        choice.precision is DType.INT8
        and "half of a lane's memory and not the whole image" in choice.note
    )
    choice = Choices(graph, plan, spec, mixes=False)["y"]
    assert "half of a lane's memory and not the whole image" in choice.problems[0]
    computed = network(
        ops.LayerNorm(name="y", inputs=("x", "g", ""), axis=3),
        inputs={"x": (1, 2, 3, 4), "g": (4,)},
    )
    (problem,) = Bf16Scheme().problems(computed, BareChip())
    assert "gamma or beta is computed" in problem
