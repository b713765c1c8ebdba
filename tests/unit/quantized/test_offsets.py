"""Tensors stored from -128 on: which ones, that nothing but the rounding changes, and that
the mean error of rounded weights is gone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from small_nets import calibrated, int8_inputs, network, quantise, samples

from cvi.execute import evaluate
from cvi.flow.real import quantised_input, quantised_inputs, real_values
from cvi.ir import Array, DType, Graph, Input, Op, TensorType
from cvi.ops import (
    Add,
    AvgPool2d,
    BatchNorm,
    Concat,
    Conv2d,
    FullyConnected,
    MatMul,
    MaxPool2d,
    PRelu,
    Relu,
    Reshape,
    Scale,
)
from cvi.precision import Precision, PrecisionPlan
from cvi_tpu.quantized.ops import Int8Conv2d
from cvi_tpu.quantized.weights import mean_loss, real_filter

_SAME = (1, 1, 1, 1)


def _weights(*shape: int) -> Array:
    return np.random.default_rng(len(shape)).standard_normal(shape).astype(np.float32) * 0.2


def _conv(name: str, source: str, **options: object) -> Conv2d:
    given: dict[str, object] = {"pads": _SAME, "relu": True, **options}
    return Conv2d(name=name, inputs=(source, "w", "bias"), **given)  # type: ignore[arg-type]


def _net(*ops: Op) -> Graph:
    return network(*ops, w=_weights(4, 4, 3, 3), bias=_weights(4))


def _offsets(graph: Graph) -> set[str]:
    inputs = samples(graph)
    quantised = quantise(graph, calibrated(graph, inputs))
    return {op.name for op in graph if quantised[op.name].type.zero == -128}


def test_a_relu_between_convolutions() -> None:
    assert _offsets(_net(_conv("a", "x"), _conv("b", "a"), _conv("c", "b"))) == {"a", "b"}


def test_maxima_and_concatenations_hand_on() -> None:
    graph = network(
        _conv("a", "x"),
        _conv("b", "x"),
        Concat(name="cat", inputs=("a", "b")),
        MaxPool2d(name="max", inputs=("cat",), kernel=(3, 3), pads=_SAME),
        Conv2d(name="c", inputs=("max", "v", "")),
        w=_weights(4, 4, 3, 3),
        bias=_weights(4),
        v=_weights(2, 8, 1, 1),
    )
    assert _offsets(graph) == {"a", "b", "cat", "max"}


@pytest.mark.parametrize(
    "reader",
    [
        AvgPool2d(name="r", inputs=("a",), kernel=(8, 8)),
        Relu(name="r", inputs=("a",)),
    ],
)
def test_not_what_others_read(reader: Op) -> None:
    assert _offsets(_net(_conv("a", "x"), _conv("b", "a"), reader, _conv("c", "r"))) == set()


def test_every_layer_of_weights() -> None:
    graph = network(
        _conv("a", "x"),
        Scale(name="s", inputs=("a", "factors", "bias"), relu=True),
        BatchNorm(name="n", inputs=("s", "factors", "bias", "bias", "one")),
        Reshape(name="flat", inputs=("s",), shape=(1, 256)),
        FullyConnected(name="f", inputs=("flat", "v", ""), relu=True),
        FullyConnected(name="g", inputs=("f", "u", "")),
        w=_weights(4, 4, 3, 3),
        bias=_weights(4),
        factors=np.array([0.8, -0.5, 0.3, 0.9]),
        one=np.ones(4),
        v=_weights(8, 256),
        u=_weights(3, 8),
        outputs=("n", "g"),
    )
    assert _offsets(graph) == {"a", "s", "flat", "f"}
    inputs = samples(graph)
    quantised = quantise(graph, calibrated(graph, inputs))
    values = evaluate(graph, inputs)
    found = real_values(quantised, evaluate(quantised, int8_inputs(quantised, inputs), keep=True))
    for name in graph.outputs:
        scale = quantised[name].type.scale
        assert scale is not None and np.abs(found[name] - values[name]).max() < 5 * scale


def _residual(*, relu: bool = True, **options: object) -> Graph:
    """Two blocks: what the first convolution and the sums give is read by the next block's
    convolution and sum."""
    return _net(
        _conv("a", "x"),
        _conv("b", "a", relu=False),
        Add(name="s", inputs=("b", "a"), relu=relu, **options),  # type: ignore[arg-type]
        _conv("c", "s"),
        _conv("d", "c", relu=False),
        Add(name="t", inputs=("s", "d"), relu=relu, **options),  # type: ignore[arg-type]
        _conv("e", "t", relu=False),
    )


def test_sums_read_and_give_them() -> None:
    assert _offsets(_residual()) == {"a", "s", "c", "t"}
    assert _offsets(_residual(relu=False)) == {"a", "c"}


@pytest.mark.parametrize("options", [{}, {"coefficients": (0.7, -1.3)}, {"relu": False}])
def test_sums_of_them_are_computed_right(options: dict[str, object]) -> None:
    graph = _residual(**options)  # type: ignore[arg-type]
    inputs = samples(graph)
    quantised = quantise(graph, calibrated(graph, inputs))
    assert quantised["a"].type.zero == -128
    values = evaluate(graph, inputs, keep=True)
    found = real_values(quantised, evaluate(quantised, int8_inputs(quantised, inputs), keep=True))
    for name in "ast":
        scale = quantised[name].type.scale
        assert scale is not None and np.abs(found[name] - values[name]).max() < 6 * scale
    kinds = {op.kind for op in quantised}
    assert "Int8Requant" not in kinds and "Int8Clip" not in kinds


@pytest.mark.parametrize("bf16", ["s", "t", "c", "b"])
def test_sums_in_bf16_read_and_give_them_too(bf16: str) -> None:
    from small_nets import BareChip

    from cvi_tpu.quantized.scheme import MixedScheme

    graph = _residual()
    inputs = samples(graph)
    plan = PrecisionPlan(Precision.INT8, {bf16: Precision.BF16})
    made = MixedScheme().quantize(graph, calibrated(graph, inputs), plan, BareChip())
    assert made[bf16].type.dtype is DType.BF16
    found = evaluate(made, quantised_inputs(made, inputs))[made.outputs[0]]
    np.testing.assert_allclose(found, evaluate(graph, inputs)["e"], atol=0.1)


def test_a_sum_whose_zeros_do_not_fit_reads_none() -> None:
    graph = _residual(coefficients=(1.0, 90.0))
    table = calibrated(graph, samples(graph))
    entry = table.entries["s"]
    small = replace(table, entries={**table.entries, "s": replace(entry, threshold=0.01)})
    assert quantise(graph, small)["a"].type.zero == 0


def test_not_without_relu_nor_as_an_output() -> None:
    assert _offsets(_net(_conv("a", "x", relu=False), _conv("b", "a"))) == set()
    graph = _net(_conv("a", "x"), _conv("b", "a"))
    graph.outputs = ("a", "b")
    assert _offsets(graph) == set()


@pytest.mark.parametrize("bf16", ["a", "b", "c"])
def test_layers_in_bf16_read_and_write_offset_tensors(bf16: str) -> None:
    """Through casts that know of the zero; the layer itself is in BF16."""
    from small_nets import BareChip

    from cvi_tpu.quantized.scheme import MixedScheme

    graph = _net(_conv("a", "x"), _conv("b", "a"), _conv("c", "b"))
    table = calibrated(graph, samples(graph))
    plan = PrecisionPlan(Precision.INT8, {bf16: Precision.BF16})
    made = MixedScheme().quantize(graph, table, plan, BareChip())
    forms = [made[name] for name in ("a", "b", "a_quant_i8", "b_quant_i8") if name in made]
    assert [op.type.zero for op in forms if op.type.dtype is DType.INT8] == [-128, -128]
    assert made[bf16].type.dtype is DType.BF16
    inputs = samples(graph)
    found = evaluate(made, quantised_inputs(made, inputs))[made.outputs[0]]
    np.testing.assert_allclose(found, evaluate(graph, inputs)["c"], atol=0.04)


def _error(graph: Graph, quantised: Graph, inputs: dict[str, Array]) -> Array:
    """Float minus quantised of the last layer, in fp64."""
    name = graph.outputs[0]
    found = real_values(quantised, evaluate(quantised, int8_inputs(quantised, inputs), keep=True))
    lost: Array = evaluate(graph, inputs)[name].astype(np.float64) - found[name]
    return lost


def test_the_rounding_error_is_half_as_large() -> None:
    """Weights of a half are exact, so that only the rounding of results is left."""
    eye = np.eye(4, dtype=np.float32).reshape(4, 4, 1, 1) * 0.5
    last = Conv2d(name="b", inputs=("a", "w", ""))
    first = Conv2d(name="a", inputs=("x", "w", ""), relu=True)
    graph = network(first, last, w=eye)
    symmetric = network(
        first, Relu(name="r", inputs=("a",)), last.with_(inputs=("r", "w", "")), w=eye
    )
    inputs = samples(graph)
    errors = []
    for one in (graph, symmetric):
        table = calibrated(one, inputs)
        values = evaluate(one, inputs, keep=True)
        made = quantise(one, table)
        found = real_values(made, evaluate(made, int8_inputs(made, inputs), keep=True))
        step = made["a"].type.scale or 0.0
        errors.append(step)
        assert np.abs(found["a"] - values["a"]).max() <= 0.51 * step
    assert errors[0] == pytest.approx(errors[1] * 127 / 255, rel=1e-6)


@pytest.mark.parametrize(
    "options", [{}, {"pads": (0, 2, 1, 0)}, {"dilation": (2, 2)}, {"pad_value": 0.25}]
)
def test_the_layers_behind_are_computed_right(options: dict[str, object]) -> None:
    graph = _net(_conv("a", "x"), _conv("b", "a", **options), _conv("c", "b", relu=False))
    inputs = samples(graph)
    quantised = quantise(graph, calibrated(graph, inputs))
    assert quantised["a"].type.zero == quantised["b"].type.zero == -128
    scale = quantised["c"].type.scale
    assert scale is not None
    assert np.abs(_error(graph, quantised, inputs)).max() < 4 * scale


def test_flattened_rows() -> None:
    graph = network(
        _conv("a", "x"),
        Reshape(name="flat", inputs=("a",), shape=(1, 256)),
        FullyConnected(name="fc", inputs=("flat", "v", "")),
        w=_weights(4, 4, 3, 3),
        bias=_weights(4),
        v=_weights(3, 256),
    )
    inputs = samples(graph)
    quantised = quantise(graph, calibrated(graph, inputs))
    assert quantised["a"].type.zero == quantised["flat"].type.zero == -128
    scale = quantised["fc"].type.scale
    assert scale is not None and np.abs(_error(graph, quantised, inputs)).max() < 4 * scale


def test_stored_values_with_a_zero_point() -> None:
    from cvi.ops.movement import stored_value

    kind = TensorType((1,), DType.INT8, 0.5, -128)
    assert [int(stored_value(v, kind)) for v in (0.0, 1.0, -3.0, 1000.0)] == [-128, -126, -128, 127]
    stored = quantised_input(Input(name="x", type=kind), np.array([0, 1, 200], np.float32))
    assert stored.tolist() == [-128, -126, 127]


def test_mean_loss_against_sums() -> None:
    random = np.random.default_rng(1)
    weight = random.standard_normal((6, 2, 3, 3))
    rounded = np.round(weight, 1)
    means = random.standard_normal(4)
    literal = [
        sum(((weight - rounded)[o, i].sum()) * means[o // 3 * 2 + i] for i in range(2))
        for o in range(6)
    ]
    assert mean_loss(weight, rounded, means) == pytest.approx(literal)


def test_a_filter_loses_nothing_on_average() -> None:
    random = np.random.default_rng(2)
    weight = random.standard_normal((5, 7, 1, 1)).astype(np.float32)
    means = np.abs(random.standard_normal(7))
    kernel = real_filter(weight, None, 1e-4, 1.0, where="layer", means=means).nearest()
    assert kernel.bias is not None
    scales = np.abs(weight).reshape(5, -1).max(axis=1) / 127
    real = (kernel.weight.reshape(5, 7) * scales[:, None]) @ means + kernel.bias * scales * 1e-4
    assert real == pytest.approx(weight.reshape(5, 7) @ means, abs=1e-5)


@pytest.mark.parametrize("zeros", [(-128, 0), (0, -128), (-128, -128)])
def test_zero_points_go_into_the_bias_exactly(zeros: tuple[int, int]) -> None:
    random = np.random.default_rng(3)
    weight = random.standard_normal((3, 5, 1, 1)).astype(np.float32)
    x_scale, y_scale = 0.02, 0.1
    plain = real_filter(weight, np.zeros(3), x_scale, y_scale, where="layer").nearest()
    moved = real_filter(weight, np.zeros(3), x_scale, y_scale, where="layer", zeros=zeros).nearest()
    assert np.array_equal(plain.weight, moved.weight)
    assert moved.bias is not None and plain.bias is not None
    sums = plain.weight.reshape(3, -1).sum(axis=1, dtype=np.int64)
    ratios = plain.multiplier * 2.0 ** (-31 - plain.shift.astype(np.float64))
    expected = -zeros[0] * sums + np.rint(zeros[1] / ratios)
    assert np.abs(moved.bias - plain.bias - expected).max() <= 1


def test_table_filters_of_their_own_threshold_stay_symmetric() -> None:
    graph = _net(_conv("a", "x"), _conv("b", "a"))
    table = calibrated(graph, samples(graph))
    prescribed = replace(table, weights={"a": (1.0,) * 4})
    assert quantise(graph, prescribed)["a"].type.zero == 0


def test_slopes_do_not_see_the_mean_of_their_operand() -> None:
    graph = network(
        PRelu(name="p", inputs=("x", "slopes")),
        Conv2d(name="c", inputs=("x", "w", "")),
        slopes=np.array([0.3, 0.1, 0.77, 0.2]),
        w=_weights(4, 4, 1, 1),
        outputs=("p", "c"),
    )
    table = calibrated(graph, samples(graph))
    quantised = quantise(graph, replace(table, means={"x": (3.0,) * 4}))
    assert quantised["c"].inputs[2] == "c_bias"
    assert [op.inputs[2] for op in quantised if isinstance(op, Int8Conv2d)] == ["", "c_bias"]


def test_rows_of_images_do_not_see_the_means_of_channels() -> None:
    graph = network(
        MatMul(name="m", inputs=("x", "v")),
        Conv2d(name="c", inputs=("x", "w", "")),
        v=_weights(4, 3),
        w=_weights(4, 4, 1, 1),
        inputs={"x": (1, 4, 8, 4)},
        outputs=("m", "c"),
    )
    table = calibrated(graph, samples(graph))
    quantised = quantise(graph, replace(table, means={"x": (3.0,) * 4}))
    biases = {op.inputs[2] for op in quantised if isinstance(op, Int8Conv2d)}
    assert biases == {"", "c_bias"}
