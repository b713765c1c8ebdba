"""Float layers against their quantised form, in steps of the result."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_nets import (
    BareChip,
    calibrated,
    chip,
    int8_inputs,
    kinds,
    network,
    quantise,
    random,
    real,
    samples,
    table_of,
    worst_steps,
)  # fmt: skip

from cvi.errors import InputError, UnsupportedError
from cvi.execute import evaluate
from cvi.ir import Array, DType, Graph, Op
from cvi.ir.text import to_text
from cvi.ops import (
    Abs,
    Add,
    AvgPool2d,
    BatchNorm,
    Clip,
    Concat,
    Conv2d,
    ConvTranspose2d,
    Div,
    Eltwise,
    Elu,
    Exp,
    FullyConnected,
    Gelu,
    HardSwish,
    LeakyRelu,
    Log,
    MatMul,
    Max,
    MaxPool2d,
    Min,
    Mish,
    Mul,
    Neg,
    Pad,
    Permute,
    PoolMask,
    Pow,
    PRelu,
    Reciprocal,
    Relu,
    Reshape,
    Resize,
    Reverse,
    Scale,
    Sigmoid,
    Slice,
    Softmax,
    Softplus,
    Sqrt,
    Sub,
    Swish,
    Tanh,
    Upsample,
)  # fmt: skip
from cvi.precision import Precision, PrecisionPlan
from cvi_chip_cv182x.spec import CV182X
from cvi_tpu.quantized.scheme import Int8Scheme

# Bounds of 0.52 steps: half a step, and QDM's first rounding at least 5 bits below it.
SEED = st.integers(0, 2**20)


def weight_error(weight: Array, x: Array, scale: float) -> float:
    """The most that rounding a filter to int8 can change a result, in its steps."""
    step = np.abs(weight.reshape(weight.shape[0], -1)).max(axis=1) / 127
    return float(step.max() * 0.5 * np.abs(x).max() * weight[0].size / scale)


# -- convolutions -------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_convolutions(data: st.DataObject) -> None:
    draw = data.draw
    group = draw(st.sampled_from([1, 2, 4]))
    kernel = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    op = Conv2d(
        name="c", inputs=("x", "w", draw(st.sampled_from(["b", ""]))), group=group,
        stride=draw(st.tuples(st.integers(1, 3), st.integers(1, 3))),
        pads=draw(st.tuples(*[st.integers(0, 3)] * 4)),
        dilation=draw(st.tuples(st.integers(1, 2), st.integers(1, 2))),
        relu=draw(st.booleans()),
    )  # fmt: skip
    seed = draw(SEED)
    weight = random(8, 4 // group, *kernel, seed=seed)
    graph = network(op, w=weight, b=random(8, seed=seed + 1))
    inputs = samples(graph, seed)
    table = calibrated(graph, inputs)
    scale = table.threshold("c") / 127
    bound = 0.52 + weight_error(weight, inputs["x"], scale)
    assert worst_steps(graph, inputs, table) <= bound


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_transposed_convolutions(data: st.DataObject) -> None:
    draw = data.draw
    group = draw(st.sampled_from([1, 2, 4]))
    stride = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    op = ConvTranspose2d(
        name="c", inputs=("x", "w", "b"), group=group, stride=stride,
        pads=draw(st.tuples(*[st.integers(0, 2)] * 4)),
        dilation=draw(st.tuples(st.integers(1, 3), st.integers(1, 3))),
        output_padding=draw(st.tuples(st.integers(0, stride[0] - 1), st.integers(0, 1))),
        relu=draw(st.booleans()),
    )  # fmt: skip
    kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    seed = draw(SEED)
    weight = random(4, 2, *kernel, seed=seed)
    graph = network(op, w=weight, b=random(2 * group, seed=seed + 1), inputs={"x": (2, 4, 6, 5)})
    inputs = samples(graph, seed)
    table = calibrated(graph, inputs)
    turned = weight.reshape(group, 4 // group, 2, -1).swapaxes(1, 2).reshape(2 * group, -1)
    bound = 0.52 + weight_error(turned, inputs["x"], table.threshold("c") / 127)
    assert worst_steps(graph, inputs, table) <= bound


def exact_weights(*shape: int, seed: int = 0) -> Array:
    """Filter values that int8 holds exactly: each channel has a 127."""
    steps = np.random.default_rng(seed).integers(-127, 128, shape)
    steps.reshape(shape[0], -1)[:, 0] = 127
    return steps.astype(np.float32) / 127


def conv_net(shape: tuple[int, ...], weight: Array, **attributes: Any) -> Graph:
    return network(
        Conv2d(name="c", inputs=("x", "w", ""), **attributes), inputs={"x": shape}, w=weight
    )


PHASES = [
    *("Input", "Pad", "Reshape", "Permute", "Reshape", "Int8Conv2d"),
    *("Reshape", "Permute", "Reshape", "Dequantize"),
]
BEYOND_THE_FIELDS = [
    ({"pads": (20, 3, 0, 40)}, (3, 3), ["Input", "Pad", "Int8Conv2d", "Dequantize"]),
    ({"pads": (17,) * 4, "pad_value": 0.5}, (3, 3), ["Input", "Pad", "Int8Conv2d", "Dequantize"]),
    ({"dilation": (18, 1), "pads": (9, 0, 9, 0)}, (2, 3), PHASES),
    ({"dilation": (18, 17), "pads": (18, 17) * 2}, (3, 3), [*PHASES[:-1], "Slice", PHASES[-1]]),
    ({"dilation": (20, 3), "pads": (1, 2, 1, 3), "pad_value": 0.5}, (2, 3), PHASES),
    (
        {"dilation": (18, 1), "stride": (2, 1), "pads": (9, 0, 9, 0)},
        (2, 3),
        ["Input", "Int8Conv2d", "Dequantize"],
    ),
    ({"dilation": (17, 20)}, (1, 1), ["Input", "Int8Conv2d", "Dequantize"]),
    ({"stride": (40, 40)}, (30, 12), ["Input", "Int8Conv2d", "Dequantize"]),
    (
        {"stride": (16, 8)},
        (16, 8),
        ["Input", "Slice", "Reshape", "Permute", "Reshape", "Int8Conv2d", "Dequantize"],
    ),
    (
        {"stride": (20, 3), "group": 3},
        (20, 3),
        ["Input", "Reshape", "Permute", "Reshape", "Int8Conv2d", "Dequantize"],
    ),
]


@pytest.mark.parametrize(("attributes", "kernel", "expected"), BEYOND_THE_FIELDS)
def test_convolutions_beyond_the_fields_of_the_instruction(
    attributes: dict[str, Any], kernel: tuple[int, int], expected: list[str]
) -> None:
    channels = 3 // attributes.get("group", 1)
    size = (40, 24) if attributes.get("group") is None else (40, 21)
    graph = conv_net((1, 3, *size), exact_weights(6, channels, *kernel), **attributes)
    inputs = samples(graph)
    quantised = quantise(graph, calibrated(graph, inputs))
    assert kinds(quantised) == expected
    for op in quantised.ops:
        pads, dilation = getattr(op, "pads", (0,)), getattr(op, "dilation", (1,))
        assert max(pads) <= 15
        assert max(dilation) <= 16
        assert max(getattr(op, "stride", (1,))) <= 15
    # pad_value 0.5 is 63.5 steps of the input: up to half a step off at every tap
    assert worst_steps(graph, inputs) <= (2.0 if "pad_value" in attributes else 0.52)


def test_the_later_chips_dilate_by_fifteen_at_most() -> None:
    graph = conv_net((1, 3, 40, 24), exact_weights(6, 3, 2, 1), dilation=(16, 1))
    inputs = samples(graph)
    table = calibrated(graph, inputs)
    assert kinds(quantise(graph, table)) == ["Input", "Int8Conv2d", "Dequantize"]
    later = BareChip(CV182X, "cv182x")
    assert kinds(quantise(graph, table, later)).count("Permute") == 2


@pytest.mark.parametrize("pads", [(0, 0, 0, 0), (3, 3, 3, 3), (7, 0, 0, 6)])
@pytest.mark.parametrize(("kernel", "stride"), [(24, 8), (4, 16), (20, 1)])
def test_transposed_convolutions_beyond_the_fields(
    pads: tuple[int, int, int, int], kernel: int, stride: int
) -> None:
    weight = exact_weights(3, 2, kernel, kernel)
    op = ConvTranspose2d(name="c", inputs=("x", "w", ""), stride=(stride,) * 2, pads=pads)
    graph = network(op, inputs={"x": (1, 3, 5, 4)}, w=weight)
    inputs = samples(graph)
    quantised = quantise(graph, calibrated(graph, inputs))
    assert max(max(getattr(op, "pads", (0,))) for op in quantised.ops) <= 15
    table = calibrated(graph, inputs)
    turned = weight.swapaxes(0, 1).reshape(2, -1)
    bound = 0.52 + weight_error(turned, inputs["x"], table.threshold("c") / 127)
    assert worst_steps(graph, inputs) <= bound


def test_ratios_of_one_and_more_get_a_gain() -> None:
    weight = np.zeros((4, 1, 1, 1), np.float32)
    weight[:, 0, 0, 0] = 0.5, 1.0, 300.0, 1000.0
    graph = network(Conv2d(name="c", inputs=("x", "w", ""), group=4), w=weight)
    inputs = samples(graph)
    table = calibrated(graph, inputs, c=1.0)
    quantised = quantise(graph, table)
    assert kinds(quantised) == ["Input", "Int8Conv2d", "Int8Conv2d", "Dequantize"]
    assert [op.name for op in quantised.ops] == ["x", "c_conv", "c", "c_dequant"]
    got = evaluate(quantised, int8_inputs(quantised, inputs), outputs=["c"])["c"]
    steps = np.round(evaluate(graph, inputs)["c"] * 127)
    np.testing.assert_allclose(got, np.clip(steps, -127, 127), atol=1)


def test_upper_bounds_below_saturation_are_clamped() -> None:
    weight = exact_weights(4, 4, 1, 1)
    inside = network(Conv2d(name="c", inputs=("x", "w", ""), relu=True, relu_max=0.5), w=weight)
    inputs = samples(inside)
    table = calibrated(inside, inputs)
    assert kinds(quantise(inside, table)) == ["Input", "Int8Conv2d", "Dequantize"]
    # the concatenation makes the steps so large that 0.5 is no longer the last of them
    joined = network(
        *inside.ops[1:], Conv2d(name="d", inputs=("x", "w", "")),
        Concat(name="j", inputs=("c", "d")), w=weight,
    )  # fmt: skip
    quantised = quantise(joined, calibrated(joined, inputs))
    assert kinds(quantised)[1:3] == ["Int8Conv2d", "Int8Clip"]
    assert [op.name for op in quantised.ops][1:3] == ["c_conv", "c"]
    assert worst_steps(joined, inputs) <= 0.52


def test_weight_thresholds_of_the_table_are_used() -> None:
    graph = network(Conv2d(name="c", inputs=("x", "w", "")), w=np.ones((1, 4, 1, 1)))
    table = table_of({"x": 1.0, "c": 4.0})
    halved = type(table)(table.entries, weights={"c": (2.0,)})
    (weight,) = (quantise(graph, t).constants["c_weight"].max() for t in (halved,))
    assert weight == 64


# -- dense, scale -----------------------------------------------------------------


@pytest.mark.parametrize("shape", [(3, 10), (2, 3, 10), (10,), (1, 2, 2, 10)])
def test_fully_connected(shape: tuple[int, ...]) -> None:
    op = FullyConnected(name="f", inputs=("x", "w", "b"), relu=True)
    graph = network(op, inputs={"x": shape}, w=exact_weights(6, 10), b=random(6))
    assert worst_steps(graph, samples(graph)) <= 0.52


def test_products_with_a_constant_matrix() -> None:
    op = MatMul(name="f", inputs=("x", "w"))
    graph = network(op, inputs={"x": (2, 5, 10)}, w=exact_weights(6, 10).T)
    assert worst_steps(graph, samples(graph)) <= 0.52


@pytest.mark.parametrize("shape", [(2, 4, 3, 3), (2, 4), (2, 4, 7), (1, 4, 2, 3, 2), (5,)])
def test_per_channel_scaling(shape: tuple[int, ...]) -> None:
    channels = shape[1] if len(shape) > 1 else 1
    op = Scale(name="s", inputs=("x", "w", "b"), relu=True, relu_max=0.9)
    graph = network(op, inputs={"x": shape}, w=random(channels, seed=3), b=random(channels))
    assert worst_steps(graph, samples(graph)) <= 0.52


def test_batch_norm() -> None:
    op = BatchNorm(name="n", inputs=("x", "g", "b", "m", "v"))
    g, b, m, v = (random(4, seed=i, low=0.1) for i in range(4))
    graph = network(op, g=g, b=b, m=m, v=v)
    assert worst_steps(graph, samples(graph)) <= 0.52


# -- pools --------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_pools(data: st.DataObject) -> None:
    draw = data.draw
    kernel = draw(st.tuples(st.integers(1, 8), st.integers(1, 8)))
    window = {
        "kernel": kernel,
        "stride": draw(st.tuples(st.integers(1, 3), st.integers(1, 3))),
        "pads": tuple(draw(st.integers(0, k - 1)) for k in (*kernel, *kernel)),
    }
    maximum = network(MaxPool2d(name="p", inputs=("x",), **window))  # type: ignore[arg-type]
    assert worst_steps(maximum, samples(maximum, draw(SEED))) <= 1e-4
    mean = network(
        AvgPool2d(
            name="p", inputs=("x",), count_include_pad=draw(st.booleans()),
            relu=draw(st.booleans()), **window,  # type: ignore[arg-type]
        )
    )  # fmt: skip
    assert worst_steps(mean, samples(mean, draw(SEED))) <= 0.52


def test_pools_whose_stride_does_not_matter_fit() -> None:
    for op in (
        MaxPool2d(name="p", inputs=("x",), kernel=(8, 8), stride=(99, 99)),
        AvgPool2d(name="p", inputs=("x",), kernel=(8, 8), stride=(99, 99)),
    ):
        graph = network(op)
        quantised = quantise(graph, calibrated(graph, samples(graph)), outputs_type="int8")
        assert quantised.ops[1].attributes()["stride"] == (1, 1)


@pytest.mark.parametrize("kind", [AvgPool2d, MaxPool2d])
@pytest.mark.parametrize("kernel", [(20, 20), (16, 5), (3, 30)])
def test_pools_with_large_strides_side_by_side(
    kind: type[AvgPool2d] | type[MaxPool2d], kernel: tuple[int, int]
) -> None:
    graph = network(
        kind(name="p", inputs=("x",), kernel=kernel, stride=kernel), inputs={"x": (2, 3, 60, 61)}
    )
    inputs = samples(graph)
    quantised = quantise(graph, calibrated(graph, inputs))
    assert all(max(getattr(op, "stride", (1,))) <= 15 for op in quantised.ops)
    assert worst_steps(graph, inputs) <= 0.52


def test_max_pools_too_large_for_a_lane_are_done_by_rows_and_columns() -> None:
    op = MaxPool2d(name="p", inputs=("x",), kernel=(7, 6), stride=(1, 2), pads=(3, 0, 0, 5))
    graph = network(op)
    inputs = samples(graph)
    small = chip(lane_bytes=64)
    quantised = quantise(graph, calibrated(graph, inputs), small)
    assert kinds(quantised) == ["Input", "Int8MaxPool2d", "Int8MaxPool2d", "Dequantize"]
    assert worst_steps(graph, inputs, on=small) <= 1e-4


@pytest.mark.parametrize("lane_bytes", [32768, 64])
def test_dilated_max_pools_are_exact(lane_bytes: int) -> None:
    op = MaxPool2d(
        name="p", inputs=("x",), kernel=(3, 2), stride=(1, 2), pads=(2, 0, 1, 3), dilation=(3, 4)
    )
    graph = network(op, inputs={"x": (1, 4, 9, 11)})
    inputs = samples(graph, low=-1.0, high=-0.1)
    assert worst_steps(graph, inputs, on=chip(lane_bytes=lane_bytes)) <= 1e-4


@pytest.mark.parametrize("size", [(2, 2), (3, 4), (1, 1)])
def test_masks_of_maxima_are_exact(size: tuple[int, int]) -> None:
    """Where int8 holds the operand exactly; the product keeps the other's scale."""
    graph = network(
        PoolMask(name="m", inputs=("x",), size=size),
        Mul(name="y", inputs=("m", "v")),
        inputs={"x": (2, 4, 8, 9), "v": (2, 4, 8, 9)},
        outputs=("m", "y"),
    )
    inputs = samples(graph)
    inputs["x"] = np.round(inputs["x"] * 2) / 2  # many ties
    quantised = quantise(graph, calibrated(graph, inputs, y=0.3, m=0.2))
    want = evaluate(graph, inputs)
    got = evaluate(quantised, int8_inputs(quantised, inputs), outputs=["m", "y"])
    assert quantised.type_of("m").scale == 1.0
    assert quantised.type_of("y").scale == pytest.approx(quantised.type_of("v").scale, rel=1e-8)
    np.testing.assert_array_equal(got["m"], want["m"])
    np.testing.assert_allclose(real(quantised, "y", got["y"]), want["y"], rtol=1e-6)


@pytest.mark.parametrize("axis", [1, 3])
def test_reversed_axes_are_exact(axis: int) -> None:
    graph = network(Reverse(name="y", inputs=("x",), axis=axis))
    assert worst_steps(graph, samples(graph)) <= 1e-4


def test_max_pools_with_wide_pads() -> None:
    op = MaxPool2d(name="p", inputs=("x",), kernel=(20, 20), pads=(18, 18, 2, 2))
    graph = network(op)
    inputs = samples(graph, low=-1.0, high=-0.1)  # zeros would win
    assert worst_steps(graph, inputs) <= 1e-4


# -- arithmetic ---------------------------------------------------------------------


SHAPES = [((1, 4, 8, 8), (1, 4, 8, 8)), ((2, 3, 4), (3, 1)), ((1, 4, 8, 8), (8,)), ((6,), (2, 6))]


@pytest.mark.parametrize("shapes", SHAPES)
@pytest.mark.parametrize("kind", [Add, Sub, Mul, Max, Min])
@pytest.mark.parametrize("relu", [False, True])
def test_arithmetic_of_two_tensors(
    kind: type[Eltwise], shapes: tuple[tuple[int, ...], ...], relu: bool
) -> None:
    op = kind(name="y", inputs=("a", "b"), relu=relu)
    graph = network(op, inputs=dict(zip("ab", shapes, strict=True)))
    inputs = {**samples(graph, 1), "b": samples(graph, 5, high=0.2)["b"]}
    assert worst_steps(graph, inputs) <= 1.6


@pytest.mark.parametrize("kind", [Add, Sub, Mul, Max, Min, Div])
def test_arithmetic_with_a_constant(kind: type[Eltwise]) -> None:
    constant = random(4, 1, 8, seed=9, low=0.5, high=2.0)
    for inputs_ in (("x", "k"), ("k", "x")):
        graph = network(kind(name="y", inputs=inputs_), k=constant)
        inputs = samples(graph, low=0.5, high=1.5)
        # the divisor is a table whose least entry, 1/1.5, is 42 of 127 steps
        limit = 3.0 if kind is Div else 1.6
        assert worst_steps(graph, inputs) <= limit


@pytest.mark.parametrize("kind", [Add, Mul, Max, Min])
def test_arithmetic_of_many_tensors(kind: type[Eltwise]) -> None:
    names = tuple("abcde")
    graph = network(kind(name="y", inputs=names), inputs=dict.fromkeys(names, (1, 2, 3, 4)))
    inputs = samples(graph)
    assert worst_steps(graph, inputs) <= (4.0 if kind is Mul else 3.0)


@pytest.mark.parametrize("factors", [(0.5, -2.0), (3.0, 0.0), (1.0, 1.0, -0.25)])
def test_sums_with_coefficients(factors: tuple[float, ...]) -> None:
    names = "abc"[: len(factors)]
    op = Add(name="y", inputs=tuple(names), coefficients=factors, relu=factors[0] == 3)
    graph = network(op, inputs=dict.fromkeys(names, (1, 4, 8, 8)))
    assert worst_steps(graph, samples(graph)) <= 1.6


def test_a_sum_whose_operand_has_large_steps() -> None:
    graph = network(Add(name="y", inputs=("a", "b")), inputs={"a": (1, 3, 8), "b": (1, 3, 8)})
    inputs = {"a": samples(graph)["a"] * 1000, "b": samples(graph, 3)["b"]}
    table = calibrated(graph, inputs, y=1.0)
    quantised = quantise(graph, table)
    assert kinds(quantised) == ["Input", "Input", "Int8Add", "Int8Requant", "Dequantize"]
    got = evaluate(quantised, int8_inputs(quantised, inputs), outputs=["y"])["y"]
    exact = np.clip(np.round((inputs["a"] + inputs["b"]) * 127), -127, 127)
    assert np.abs(got - exact).max() <= 8


def test_a_product_beyond_the_multiplier_is_raised() -> None:
    graph = network(
        Mul(name="y", inputs=("a", "b"), relu=True), inputs={"a": (1, 3, 8), "b": (1, 3, 8)}
    )
    inputs = {k: v * 100 for k, v in samples(graph).items()}
    table = calibrated(graph, inputs, y=0.5)
    quantised = quantise(graph, table)
    assert kinds(quantised) == ["Input", "Input", "Int8Mul", "Int8Requant", "Dequantize"]
    got = evaluate(quantised, int8_inputs(quantised, inputs), outputs=["y"])["y"]
    exact = np.clip(np.round(inputs["a"] * inputs["b"] * 254), 0, 127)
    assert np.abs(got - exact).max() <= 1


def test_quotients_of_tensors() -> None:
    graph = network(Div(name="y", inputs=("a", "b")), inputs={"a": (1, 3, 8), "b": (1, 3, 8)})
    inputs = {"a": samples(graph)["a"], "b": samples(graph, 2, low=0.5)["b"]}
    quantised = quantise(graph, calibrated(graph, inputs))
    assert kinds(quantised) == ["Input", "Input", "Int8Lut", "Int8Mul", "Dequantize"]
    assert worst_steps(graph, inputs) <= 1.6


# -- functions ------------------------------------------------------------------------


FUNCTIONS = [
    Sigmoid(name="y"), Sigmoid(name="y", scale=3.0, bias=-1.0), Tanh(name="y"), Elu(name="y"),
    Exp(name="y"), Softplus(name="y"), Swish(name="y"), Mish(name="y"), HardSwish(name="y"),
    Gelu(name="y"), Gelu(name="y", approximate=True), Neg(name="y"), Pow(name="y", exponent=2.0),
    Relu(name="y"), Relu(name="y", maximum=0.4), Clip(name="y", minimum=-0.3, maximum=0.6),
]  # fmt: skip


@pytest.mark.parametrize("op", FUNCTIONS)
def test_functions_of_one_tensor(op: Op) -> None:
    graph = network(op.with_(inputs=("x",)))
    assert worst_steps(graph, samples(graph)) <= 0.52


@pytest.mark.parametrize(
    "op", [Log(name="y"), Sqrt(name="y"), Reciprocal(name="y"), Pow(name="y", exponent=-0.5)]
)
def test_functions_of_positive_numbers(op: Op) -> None:
    graph = network(op.with_(inputs=("x",)))
    assert worst_steps(graph, samples(graph, low=0.1)) <= 0.52


@pytest.mark.parametrize("op", [Abs(name="y"), LeakyRelu(name="y", slope=0.1)])
def test_functions_with_their_operands_scale(op: Op) -> None:
    graph = network(
        Conv2d(name="c", inputs=("x", "w", "")),
        op.with_(inputs=("c",)),
        w=exact_weights(4, 4, 1, 1),
    )
    inputs = samples(graph)
    top = float(np.abs(evaluate(graph, inputs, outputs=["c"])["c"]).max())
    table = calibrated(graph, inputs, c=top, y=top)
    quantised = quantise(graph, table)
    assert quantised["y"].type.scale == quantised["c"].type.scale
    assert worst_steps(graph, inputs, table) <= 1.02


def table_entries(op: Op) -> Array:
    graph = network(op.with_(inputs=("x",)), inputs={"x": (1, 1, 16, 16)})
    quantised = quantise(graph, table_of({"x": 127.0, "y": 127.0}))
    return quantised.constants["y_table"]


def test_outside_of_their_domain_functions_are_finite() -> None:
    log = table_entries(Log(name="y"))
    assert log[[0, 1, 255, 128]].tolist() == [-128, 0, -128, -128]
    sqrt = table_entries(Sqrt(name="y"))
    assert sqrt[[0, 1, 4, 255, 128]].tolist() == [0, 1, 2, 0, 0]
    inverse = table_entries(Reciprocal(name="y"))
    assert inverse[[0, 1, 2, 255]].tolist() == [127, 127, 64, -127]  # in steps of 1/127
    root = table_entries(Pow(name="y", exponent=0.5))
    assert root[[9, 200]].tolist() == [3, 0]
    assert table_entries(Pow(name="y", exponent=-1.0))[0] == 127


@pytest.mark.parametrize("shape", [(1, 4, 5, 5), (2, 4), (1, 4, 6)])
@pytest.mark.parametrize("ratio", [0.5, 1.0, 2.0])
def test_prelu(shape: tuple[int, ...], ratio: float) -> None:
    slopes = np.array([0.25, -0.5, 1.5, 0.0])
    graph = network(PRelu(name="y", inputs=("x", "s")), inputs={"x": shape}, s=slopes)
    inputs = samples(graph)
    table = calibrated(graph, inputs, y=1.5 * ratio)
    quantised = quantise(graph, table)
    got = evaluate(quantised, int8_inputs(quantised, inputs), outputs=["y"])["y"]
    scale = 1.5 * ratio / 127
    exact = np.clip(evaluate(graph, inputs)["y"] / scale, -128, 127)
    assert np.abs(got - exact).max() <= 0.52


# -- movement, casts, the whole -----------------------------------------------------


def test_movement_stays_as_it_is() -> None:
    graph = network(
        Permute(name="p", inputs=("x",), order=(0, 2, 3, 1)),
        Slice(name="s", inputs=("p",), starts=(0, 1, 0, 0), sizes=(1, 3, 8, 4), steps=(1, 2, 1, 1)),
        Pad(name="q", inputs=("s",), before=(0, 0, 1, 0), after=(0, 0, 0, 2), value=0.25),
        Upsample(name="u", inputs=("q",), factors=(2, 3)),
    )
    inputs = samples(graph)
    quantised = quantise(graph, calibrated(graph, inputs))
    assert kinds(quantised) == [*kinds(graph), "Dequantize"]
    assert worst_steps(graph, inputs) <= 0.52


def test_concatenation_brings_operands_to_one_scale() -> None:
    graph = network(
        Concat(name="j", inputs=("a", "b", "k")),
        inputs={"a": (1, 2, 3, 3), "b": (1, 2, 3, 3)}, k=random(1, 1, 3, 3),
    )  # fmt: skip
    inputs = {"a": samples(graph)["a"], "b": samples(graph, 4)["b"] * np.float32(0.3)}
    quantised = quantise(graph, calibrated(graph, inputs))
    assert [op.name for op in quantised.ops] == ["a", "b", "j_requant_1", "j", "j_dequant"]
    assert quantised.constants["j_requant_2"].dtype == np.int8
    assert worst_steps(graph, inputs) <= 0.52


def test_concatenation_may_begin_with_a_constant() -> None:
    graph = network(
        Concat(name="j", inputs=("k", "a")), inputs={"a": (1, 2, 3, 3)}, k=random(1, 1, 3, 3)
    )
    inputs = samples(graph)
    quantised = quantise(graph, calibrated(graph, inputs))
    assert quantised.type_of("j").scale == quantised.type_of("a").scale
    assert worst_steps(graph, inputs) <= 0.52


@pytest.mark.parametrize("factor", [2, 3, 4, 5, 6])
@pytest.mark.parametrize("size", [(4, 3), (1, 5)])
def test_linear_enlargement_by_whole_factors(factor: int, size: tuple[int, int]) -> None:
    target = (size[0] * factor, size[1] * factor)
    op = Resize(
        name="r", inputs=("x",), size=target, scales=(factor, factor), mode="linear",
        coordinates="pytorch_half_pixel",
    )  # fmt: skip
    graph = network(op, inputs={"x": (2, 3, *size)})
    inputs = samples(graph)
    quantised = quantise(graph, calibrated(graph, inputs))
    assert kinds(quantised) == ["Input", "Pad", "Int8Conv2d", "Dequantize"]
    # the weights are exact: nothing but the rounding of the result
    assert worst_steps(graph, inputs) <= 0.5001
    weight = quantised.constants["r_weight"].astype(int)
    phases = weight.reshape(3, -1).sum(axis=1)
    assert (phases % factor**2 == 0).all()


RESIZES: list[dict[str, Any]] = [
    {"size": (9, 11), "mode": "linear", "coordinates": "align_corners"},
    {"size": (8, 14), "mode": "linear", "coordinates": "asymmetric"},
    {"size": (3, 2), "mode": "linear"},
    {"size": (28, 49), "mode": "linear"},
    {"size": (8, 21), "mode": "linear"},
    {"size": (9, 5), "nearest_mode": "floor"},
    {"size": (6, 14), "coordinates": "align_corners"},
    {"size": (4, 21), "nearest_mode": "ceil"},
]


@pytest.mark.parametrize("attributes", RESIZES, ids=str)
def test_other_resizes(attributes: dict[str, Any]) -> None:
    h, w = attributes["size"]
    op = Resize(name="r", inputs=("x",), scales=(h / 4, w / 7), **attributes)
    graph = network(op, inputs={"x": (2, 3, 4, 7)})
    inputs = samples(graph)
    exact = attributes.get("mode") != "linear"
    # linear: the weights of each of the two products are rounded, and what is between
    assert worst_steps(graph, inputs) <= (0.5001 if exact else 2.0)


BEFORE = """graph net
  @w : fp32[2x4x1x1] = -1 .. 1 #{weight}
  %x : fp32[1x4x8x8] = Input()
  %c : fp32[1x2x8x8] = Conv2d(%x, @w, none) {{relu=True}}
  %s : fp32[1x2x8x8] = Softmax(%c) {{axis=1}}
  %t : fp32[1x128] = Reshape(%s) {{shape=(1, 128)}}
  return %t, %c, %x
"""

AFTER = """graph net
  %x : int8[1x4x8x8]*0.00787402 = Input()
  %c : int8[1x2x8x8]*0.0314961 = Int8Conv2d(%x, @c_weight, none, @c_multiplier, @c_shift) \
{out_scale=0.031496062992125984, relu=True}
  %c_dequant : fp32[1x2x8x8] = Dequantize(%c) {scale=0.031496062992125984}
  %s : fp32[1x2x8x8] = CpuSoftmax(%c_dequant) {axis=1}
  %t : fp32[1x128] = Reshape(%s) {shape=(1, 128)}
  %x_dequant : fp32[1x4x8x8] = Dequantize(%x) {scale=0.007874015748031496}
  return %t, %c_dequant, %x_dequant
"""


def softmax_net() -> Graph:
    return network(
        Conv2d(name="c", inputs=("x", "w", ""), relu=True),
        Softmax(name="s", inputs=("c",), axis=1),
        Reshape(name="t", inputs=("s",), shape=(1, 128)),
        outputs=("t", "c", "x"),
        w=np.array([[1, -1, 0.5, 0]] * 2).reshape(2, 4, 1, 1),
    )


def without_constants(text: str) -> str:
    return "".join(line for line in text.splitlines(True) if not line.startswith("  @"))


def test_before_and_after() -> None:
    graph = softmax_net()
    assert without_constants(to_text(graph)) == without_constants(
        BEFORE.replace("{{", "{").replace("}}", "}")
    )
    quantised = quantise(graph, table_of({"x": 1.0, "c": 4.0}))
    assert without_constants(to_text(quantised)) == AFTER


def test_int8_outputs_and_float_inputs() -> None:
    graph = softmax_net()
    table = table_of({"x": 1.0, "c": 4.0, "s": 1.0, "t": 1.0})
    quantised = quantise(graph, table, inputs_type="fp32", outputs_type="int8")
    assert kinds(quantised) == [
        "Input", "Quantize", "Int8Conv2d", "Dequantize", "CpuSoftmax", "Reshape", "Quantize",
    ]  # fmt: skip
    assert quantised.inputs[0].type.dtype is DType.FP32
    assert quantised.outputs == ("t_quant_i8", "c", "x_quant_i8")
    inputs = samples(graph)
    integers = quantise(graph, table)
    fed = int8_inputs(integers, inputs)
    one = evaluate(quantised, inputs, outputs=["c"])["c"]
    other = evaluate(integers, fed, outputs=["c"])["c"]
    np.testing.assert_array_equal(one, other)


def test_helpers_avoid_the_names_of_layers() -> None:
    graph = network(
        Relu(name="r", inputs=("x",)),
        Relu(name="r_dequant", inputs=("r",)),
        outputs=("r", "r_dequant"),
    )
    quantised = quantise(graph, table_of({"x": 1.0}))
    assert quantised.outputs == ("r_dequant_1", "r_dequant_dequant")


def test_a_layer_keeps_the_tensor_of_the_source_model() -> None:
    op = Conv2d(name="c_Conv", source="c", inputs=("x", "w", ""), relu=True)
    graph = network(op, w=exact_weights(4, 4, 1, 1))
    assert quantise(graph, table_of({"x": 1.0, "c_Conv": 1.0}))["c_Conv"].source == "c"


# -- what cannot be ------------------------------------------------------------------


IMPOSSIBLE: list[tuple[Op, str]] = [
    (Softmax(name="y", inputs=("x",), axis=1, log=True), "no CPU function for log-softmax"),
    (PoolMask(name="y", inputs=("z",), size=(16, 2)), "at most 15 rows and columns"),
    (MatMul(name="y", inputs=("w", "w")), "both factors are constants"),
    (Conv2d(name="y", inputs=("x", "x", ""), pads=(1,) * 4), "weight or bias is computed"),
    (Conv2d(name="y", inputs=("z", "w", ""), stride=(20, 20)), "the stride exceeds"),
    (ConvTranspose2d(name="y", inputs=("x", "w", ""), stride=(17, 1)), "the stride exceeds"),
    (AvgPool2d(name="y", inputs=("z",), kernel=(200, 200)), "half of a lane's memory"),
    (AvgPool2d(name="y", inputs=("z",), kernel=(40, 40), pads=(16, 0, 0, 0)), "exceeds the 15"),
    (MaxPool2d(name="y", inputs=("z",), kernel=(2, 2), stride=(20, 1)), "the stride exceeds"),
    (Div(name="y", inputs=("x", "zero")), "divisor is zero"),
    (Add(name="y", inputs=("x",) * 65), "more than 64 tensors"),
]


@pytest.mark.parametrize(("op", "reason"), IMPOSSIBLE)
def test_what_is_impossible_is_reported(op: Op, reason: str) -> None:
    shapes = {"x": (4, 4, 8, 8), "z": (4, 4, 200, 200)}
    graph = network(op, inputs=shapes, w=np.ones((4, 4, 3, 3)), zero=np.zeros(1))
    (problem,) = Int8Scheme().problems(graph, BareChip())
    assert problem.startswith(f"y ({op.kind}): ")
    assert reason in problem
    assert "; " in problem  # says what to do


def test_every_problem_is_reported_at_once() -> None:
    graph = network(
        Add(name="m", inputs=("x",) * 65),
        Softmax(name="s", inputs=("m",), axis=1, log=True),
        Relu(name="r", inputs=("s",)),
    )
    with pytest.raises(UnsupportedError, match="2 of the network's layers") as error:
        quantise(graph, table_of({"x": 1.0}))
    assert [p.split()[0] for p in error.value.problems] == ["m", "s"]


def test_chips_without_cpu_functions_have_no_softmax() -> None:
    scheme = Int8Scheme()
    assert scheme.problems(softmax_net(), chip()) == []
    (problem,) = scheme.problems(softmax_net(), chip(has_cpu_functions=False))
    assert problem.startswith("s (Softmax): the chip's runtime has no CPU functions")


def test_an_op_without_a_rule_is_named() -> None:
    from cvi.ops import Reduce

    graph = network(Reduce(name="y", inputs=("x",), method="l2", axes=(1,)))
    (problem,) = Int8Scheme().problems(graph, BareChip())
    assert problem.startswith("y (Reduce): there is no INT8 rule for this op")


@pytest.mark.parametrize(
    "plan", [PrecisionPlan(Precision.BF16), PrecisionPlan(layers={"r": Precision.MIX_BF16})]
)
def test_other_precisions_are_refused(plan: PrecisionPlan) -> None:
    graph = network(Relu(name="r", inputs=("x",)))
    with pytest.raises(UnsupportedError) as error:
        Int8Scheme().quantize(graph, table_of({"x": 1.0}), plan, BareChip())
    assert "BF16" in str(error.value)


def test_foreign_chips_and_types_are_refused() -> None:
    graph = network(Relu(name="r", inputs=("x",)))
    table = table_of({"x": 1.0})
    with pytest.raises(InputError, match="'int4' is not one of int8, bf16, fp32"):
        quantise(graph, table, inputs_type="int4")
    foreign = BareChip(spec=None)  # type: ignore[arg-type]
    with pytest.raises(UnsupportedError, match="none of the CV18xx family"):
        quantise(graph, table, foreign)


def test_a_missing_threshold_names_the_layer() -> None:
    graph = network(Sigmoid(name="s", inputs=("x",)), Elu(name="e", inputs=("s",)))
    with pytest.raises(InputError, match="no threshold for layer 'e'"):
        quantise(graph, table_of({"x": 1.0}))


def test_real_values_are_comparable_by_layer_name() -> None:
    graph = network(Relu(name="r", inputs=("x",)))
    inputs = samples(graph)
    quantised = quantise(graph, calibrated(graph, inputs))
    got = evaluate(quantised, int8_inputs(quantised, inputs), outputs=["r"])["r"]
    np.testing.assert_allclose(real(quantised, "r", got), evaluate(graph, inputs)["r"], atol=1e-6)
