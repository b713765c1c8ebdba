"""Normalisation in INT8: powers of sums of squares, and the runtime's instance norm."""

from __future__ import annotations

import numpy as np
import pytest
from small_nets import calibrated, chip, int8_inputs, kinds, network, quantise, real, table_of

from cvi.calibrate.table import CalibrationTable, Threshold
from cvi.execute import evaluate
from cvi.ir import Array, Graph
from cvi.ops import InstanceNorm, Lrn, Mul, Normalize, Relu, SquarePower
from cvi.ops.normalise import square_sums
from cvi.passes import simplify
from cvi_tpu.quantized.scheme import Int8Scheme


def integers(shape: tuple[int, ...], seed: int = 0) -> Array:
    """Features in steps of 1, the norms of pixels twentyfold apart."""
    rng = np.random.default_rng(seed)
    sizes = np.geomspace(0.05, 1, int(np.prod(shape[2:]))).reshape(1, 1, *shape[2:])
    x = np.rint(np.clip(rng.normal(size=shape) * 60 * sizes, -127, 127))
    x.flat[0] = 127
    return x.astype(np.float32)


def powers(op: SquarePower, x: Array) -> tuple[Array, Array]:
    """The INT8 power of x in real units (its parts added up), and the true one, where no sum
    of squares is 0."""
    graph = network(op.with_(name="y", inputs=("x",)), inputs={"x": x.shape})
    quantised = quantise(graph, calibrated(graph, {"x": x}))
    names = [n for n in ("y_small", "y_large") if n in quantised] or ["y"]
    got = evaluate(quantised, int8_inputs(quantised, {"x": x}), outputs=names)
    here = square_sums(x, op.size) > 0
    total = sum(real(quantised, name, got[name]).reshape(here.shape) for name in names)
    return np.asarray(total)[here], evaluate(graph, {"x": x})["y"][here]


@pytest.mark.parametrize("shape", [(2, 64, 9, 10), (1, 300, 40), (1, 5, 8, 8)])
@pytest.mark.parametrize("size", [0, 3, 4])
def test_falling_powers_are_good_over_all_magnitudes(shape: tuple[int, ...], size: int) -> None:
    """1/32 of the sum and half a code: 1/64 and 1/90 of its root; half a step of the power."""
    op = SquarePower(name="y", exponent=-0.5, size=size, shift=0.01)
    got, want = powers(op, integers(shape))
    assert want.max() > 10 * want.min()
    assert np.all(np.abs(got - want) <= want / 35 + want.max() / 127 * 0.52)


@pytest.mark.parametrize("shift", [0.0, 500.0])
def test_rising_powers(shift: float) -> None:
    op = SquarePower(name="y", exponent=0.5, scale=0.25, shift=shift)
    got, want = powers(op, integers((1, 64, 9, 10)))
    assert np.all(np.abs(got - want) <= want / 35 + want.max() / 127 * 0.52)


def test_a_sum_beside_a_large_shift_has_one_form() -> None:
    op = SquarePower(name="y", inputs=("x",), exponent=-0.75, size=3, scale=1e-4, shift=1.0)
    graph = network(op)
    inputs = {"x": integers((1, 4, 8, 8))}
    assert kinds(quantise(graph, calibrated(graph, inputs))) == [
        "Input", "Int8Lut", "Int8Lut", "Concat", "Int8Conv2d", "Int8Lut", "Dequantize",
    ]  # fmt: skip


def test_without_statistics_the_sum_may_be_all_that_it_can() -> None:
    power = SquarePower(name="p", inputs=("x",), exponent=-0.5, shift=1e-10)
    graph = network(power, Mul(name="y", inputs=("x", "p")))
    given = {"x": (127.0, -127.0), "p": (1.0, 0.0), "y": (1.0, -1.0)}
    table = CalibrationTable({k: Threshold(top, low, top) for k, (top, low) in given.items()})
    quantised = quantise(graph, table)
    largest = np.full((1, 4, 8, 8), 127, np.int8)
    got = evaluate(quantised, {"x": largest}, outputs=["y"])["y"] / 127
    np.testing.assert_allclose(got, 0.5, rtol=0.03)


def test_powers_of_many_magnitudes_are_multiplied_in_two_parts() -> None:
    """Where one part is not 0 the other is, so that adding the products loses nothing."""
    x = integers((1, 64, 9, 10))
    graph = network(
        SquarePower(name="p", inputs=("x",), exponent=-0.5, shift=1e-10),
        Mul(name="y", inputs=("p", "x"), relu=True),
        inputs={"x": x.shape},
    )
    quantised = quantise(graph, calibrated(graph, {"x": x}))
    assert [op.kind for op in quantised.ops][-4:-1] == ["Int8Mul", "Int8Mul", "Int8Add"]
    first, second = quantised["y"].inputs
    got = evaluate(quantised, int8_inputs(quantised, {"x": x}), outputs=[first, second, "y"])
    assert not np.any((got[first] != 0) & (got[second] != 0))
    assert np.array_equal(got["y"], got[first] + got[second])
    assert np.any(got[first]) and np.any(got[second]) and got["y"].min() == 0


def test_the_pole_leaves_the_other_values_their_steps() -> None:
    """A pixel of zeros has the inverse norm 1e5, which calibration sees."""
    x = integers((1, 64, 9, 10))
    x[:, :, 0, 0] = 0
    graph = simplify(
        network(Normalize(name="y", inputs=("x", "s")), inputs={"x": x.shape}, s=[1] * 64)
    )
    table = calibrated(graph, {"x": x})
    assert table.threshold("y_power") > 9e4
    assert cosine(graph, x, table) > 0.999


def test_the_parts_of_a_power_are_joined_for_who_wants_one_tensor() -> None:
    x = integers((1, 64, 9, 10))
    power = SquarePower(name="p", inputs=("x",), exponent=-0.5)
    graph = network(power, Relu(name="r", inputs=("p",)), inputs={"x": x.shape})
    quantised = quantise(graph, calibrated(graph, {"x": x}))
    assert kinds(quantised)[-3:] == ["Int8Add", "Int8Clip", "Dequantize"]
    got, want = evaluate(quantised, int8_inputs(quantised, {"x": x})), evaluate(graph, {"x": x})
    (y,), scale = got.values(), quantised.type_of("r").scale
    assert scale is not None and np.abs(y - want["r"]).max() <= 0.03 * want["r"].max() + scale


# -- whole layers: as close as int8 input and output allow -----------------------------


def cosine(graph: Graph, x: Array, table: CalibrationTable) -> float:
    quantised = quantise(graph, table)
    got = evaluate(quantised, int8_inputs(quantised, {"x": x}))[quantised.outputs[0]]
    want = evaluate(graph, {"x": x})[graph.outputs[0]]
    return float(np.vdot(got, want) / np.linalg.norm(got) / np.linalg.norm(want))


def features(shape: tuple[int, ...], top: float) -> Array:
    """Non-negative features, half of them 0, of channels and pixels of different strength."""
    rng = np.random.default_rng(4)
    channels = np.exp(0.4 * rng.normal(size=(1, shape[1], 1, 1)))
    pixels = np.exp(0.4 * rng.normal(size=(1, 1, *shape[2:])))
    x = np.maximum(rng.normal(size=shape), 0) * channels * pixels
    return (x / x.max() * top).astype(np.float32)


@pytest.mark.parametrize("top", [5.0, 300.0, 2000.0])
def test_lrn_of_alexnet(top: float) -> None:
    x = features((1, 96, 27, 27), top)
    op = Lrn(name="y", inputs=("x",), size=5, alpha=1e-4, beta=0.75)
    graph = simplify(network(op, inputs={"x": x.shape}))
    assert cosine(graph, x, calibrated(graph, {"x": x})) >= 0.999


@pytest.mark.parametrize("across", [False, True])
def test_normalize_of_ssd(across: bool) -> None:
    x = features((1, 256, 19, 19), 60)
    op = Normalize(name="y", inputs=("x", "s"), across_spatial=across)
    graph = simplify(network(op, inputs={"x": x.shape}, s=np.full(256, 20)))
    assert cosine(graph, x, calibrated(graph, {"x": x})) >= 0.998


# -- instance normalisation -------------------------------------------------------------


def test_instance_norm_calls_the_runtime_for_every_image() -> None:
    op = InstanceNorm(name="y", inputs=("x", "g", "b"))
    graph = simplify(network(op, inputs={"x": (2, 3, 4, 4)}, g=[1, -2, 0.5], b=[0, 1, -1]))
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 4)).astype(np.float32)
    x[1] *= 9
    table = calibrated(graph, {"x": x})
    assert kinds(quantise(graph, table)) == [
        "Input", "Dequantize", "Slice", "CpuFunction", "Slice", "CpuFunction", "Concat",
        "Quantize", "Int8Conv2d", "Dequantize",
    ]  # fmt: skip
    assert cosine(graph, x, table) > 0.999


def test_instance_norm_is_refused_where_it_would_be_wrong() -> None:
    op = InstanceNorm(name="y", inputs=("x", "g", "b"))
    graph = network(op, g=np.full(4, 2), b=np.zeros(4))
    (problem,) = Int8Scheme().problems(graph, chip())
    assert "wrong unless gamma is 1" in problem
    graph = network(op, g=np.ones(4), b=np.zeros(4))
    assert not Int8Scheme().problems(graph, chip())
    (problem,) = Int8Scheme().problems(graph, chip(has_cpu_functions=False))
    assert "no CPU functions" in problem
    graph = network(op, inputs={"x": (1, 4, 2, 2, 2)}, g=np.ones(4), b=np.zeros(4))
    (problem,) = Int8Scheme().problems(graph, chip())
    assert "at most 4 dimensions" in problem


def test_sums_beyond_the_accumulator_are_refused() -> None:
    graph = network(SquarePower(name="y", inputs=("x",), exponent=0.5), inputs={"x": (1, 133_145)})
    (problem,) = Int8Scheme().problems(graph, chip())
    assert "133,144 squares" in problem
    graph = network(SquarePower(name="y", inputs=("x",), exponent=0.5), inputs={"x": (1, 133_144)})
    assert not Int8Scheme().problems(graph, chip())
    assert kinds(quantise(graph, table_of({"x": 1.0, "y": 9.0})))[-1] == "Dequantize"
