"""Comparisons, thresholds, seldom functions, masks and deviations in BF16 against floats: on
all finite numbers where a function takes one."""

from __future__ import annotations

import numpy as np
import pytest
from small_nets import BareChip, calibrated, network, samples

from cvi import ops
from cvi.compare import compare_tensors
from cvi.execute import evaluate
from cvi.ir import Array, DType, Op
from cvi.ops.functions import COMPARISONS
from cvi.ops.pool import first_maxima
from cvi_tpu.quantized import bf16
from cvi_tpu.quantized.bf16_tables import truth
from cvi_tpu.quantized.ops import Bf16MaxPool2d, Bf16PoolMask
from cvi_tpu.quantized.scheme import Bf16Scheme, Int8Scheme, MixedScheme

ALL = np.arange(1 << 16, dtype=np.uint16)
FINITE = ALL[np.isfinite(bf16.decode(ALL))]
NUMBERS = bf16.decode(FINITE)
LARGEST = float(NUMBERS.max())


def computed(op: ops.Unary, patterns: Array = FINITE) -> Array:
    """What the BF16 graph of a function makes of the numbers."""
    shape = (1, 1, 1, patterns.size)
    graph = network(op.with_(name="y", inputs=("x",)), inputs={"x": shape})
    types = {"inputs_type": "bf16", "outputs_type": "bf16"}
    quantised = Bf16Scheme().quantize(graph, None, None, BareChip(), **types)
    (entry,) = quantised.inputs
    y = evaluate(quantised, {entry.name: patterns.reshape(shape)})[quantised.outputs[0]]
    return bf16.decode(y).reshape(-1)


def nearest(values: Array) -> Array:
    """Real numbers as BF16 has them; infinities as the largest numbers."""
    clipped = np.clip(values, -LARGEST, LARGEST)
    return bf16.stored(clipped.astype(np.float32))


@pytest.mark.parametrize("which", COMPARISONS)
@pytest.mark.parametrize("value", [0.0, 1.0, -2.5, 1.3e-38, LARGEST, -LARGEST])
def test_comparisons_are_exact(which: str, value: float) -> None:
    value = bf16.nearest(value)
    want = COMPARISONS[which](NUMBERS, np.float32(value))
    assert np.array_equal(computed(ops.Compare(name="", which=which, value=value)), want)


def test_what_is_compared_is_the_nearest_number() -> None:
    """0.1 is none of BF16's: a tensor that holds it holds 0.10009765625 in BF16."""
    patterns = bf16.encode(np.float32([0.0996, 0.1, 0.1006]))
    for which, want in (("equal", [0, 1, 0]), ("less", [1, 0, 0]), ("greater_equal", [0, 1, 1])):
        assert computed(ops.Compare(name="", which=which, value=0.1), patterns).tolist() == want
    assert computed(ops.Compare(name="", which="less", value=np.inf), patterns).all()
    assert computed(ops.Compare(name="", which="greater", value=-np.inf), patterns).all()


@pytest.mark.parametrize("threshold", [0.0, 1.0, -1.0, 0.30078125])
def test_thresholded_relu_is_exact(threshold: float) -> None:
    op = ops.ThresholdedRelu(name="", threshold=threshold)
    assert np.array_equal(computed(op), op.function(NUMBERS))


@pytest.mark.parametrize(
    ("threshold", "bias"), [(0.5, 0.0), (0.5, 0.5), (0.25, -2.0), (0.0, 0.0), (-1.0, 0.5)]
)
def test_shrink_is_rounded_once(threshold: float, bias: float) -> None:
    op = ops.Shrink(name="", threshold=threshold, bias=bias)
    moved = bf16.stored(bf16.add(NUMBERS, np.float32(bias)))
    want = np.where(-threshold > NUMBERS, moved, 0)
    want = np.where(threshold < NUMBERS, bf16.stored(bf16.add(NUMBERS, np.float32(-bias))), want)
    assert np.array_equal(computed(op), want)


@pytest.mark.parametrize("which", ["round", "floor", "ceil", "sign"])
def test_jumps_are_exact(which: str) -> None:
    op = ops.Elementary(name="", which=which)
    assert np.array_equal(computed(op), op.function(NUMBERS))


@pytest.mark.parametrize(
    ("which", "most"),
    [("sin", 512), ("cos", 512), ("tan", 512), ("asin", 1), ("acos", 1), ("atan", np.inf),
     ("sinh", np.inf), ("cosh", np.inf), ("asinh", 8), ("acosh", 8), ("atanh", 1)],
)  # fmt: skip
def test_functions_that_bend_are_rounded_to_nearest(which: str, most: float) -> None:
    """Numbers below 2^-125 are taken for 0; out of a function's domain it is 0."""
    op = ops.Elementary(name="", which=which)
    x = np.where(np.abs(NUMBERS) < 2.0**-125, 0, NUMBERS.astype(np.float64))
    with np.errstate(all="ignore"):
        want = nearest(np.nan_to_num(op.function(x), nan=0.0, posinf=1e300, neginf=-1e300))
    here = np.abs(x) <= most if most == 1 else np.abs(x) < most
    y = computed(op)
    assert np.array_equal(y[here], want[here])
    if most == 1 or which in ("sin", "cos", "tan"):
        assert not y[~here].any()


@pytest.mark.parametrize("which", ["asinh", "acosh"])
def test_logarithms_of_large_numbers(which: str) -> None:
    large = np.abs(NUMBERS) >= 8 if which == "asinh" else NUMBERS >= 8
    y = computed(ops.Elementary(name="", which=which))[large]
    want = getattr(np, f"arc{which[1:]}")(NUMBERS[large].astype(np.float64))
    assert (np.abs(y - want) / np.abs(want)).max() < 0.0073


def test_tables_do_not_tell_every_condition() -> None:
    with pytest.raises(ValueError, match="no two tables"):
        truth(lambda x: (x > 1.5) & (x < 9.5))


@pytest.mark.parametrize("size", [(2, 2), (3, 5), (1, 1), (9, 2)])
def test_masks_have_the_first_of_equal_maxima(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(4)
    values = rng.choice(np.float32([-3.0, -0.0, 0.0, 1e-38, 2.5]), (2, 3, 7, 8))
    values[0] = rng.standard_normal((3, 7, 8))
    patterns = bf16.encode(values)
    patterns[1, :, ::3] ^= np.where(patterns[1, :, ::3] == 0, 0x8000, 0).astype(np.uint16)
    mask = Bf16PoolMask(name="y", size=size).evaluate(patterns)
    numbers = bf16.decode(patterns)
    numbers[np.abs(numbers) < 2.0**-126] = 0
    assert np.array_equal(bf16.decode(mask), first_maxima(numbers, size))


def test_numbers_closer_than_the_normal_range_are_one_maximum() -> None:
    """The engine's difference of 2^-126 and 1.5 * 2^-126 is 0."""
    patterns = bf16.encode(np.float32([2.0**-126, 1.5 * 2.0**-126, 0, 0])).reshape(1, 1, 2, 2)
    mask = Bf16PoolMask(name="y", size=(2, 2)).evaluate(patterns)
    assert bf16.decode(mask).ravel().tolist() == [1, 0, 0, 0]


def test_dilated_maxima() -> None:
    x = bf16.encode(np.random.default_rng(4).standard_normal((2, 3, 9, 11)).astype(np.float32))
    window = {"kernel": (2, 3), "stride": (2, 1), "pads": (1, 2, 0, 1), "dilation": (3, 2)}
    y = Bf16MaxPool2d(name="y", **window).evaluate(x)
    want = ops.MaxPool2d(name="y", **window).evaluate(bf16.decode(x))
    assert np.array_equal(bf16.decode(y), want)


def computed_of(x: Array, op: Op, **constants: Array) -> Array:
    """What the BF16 graph makes of a tensor."""
    graph = network(op, inputs={"x": x.shape}, **constants)
    quantised = Bf16Scheme().quantize(graph, None, None, BareChip(), inputs_type="fp32")
    (name,) = quantised.outputs
    return evaluate(quantised, {"x": x})[name].reshape(quantised[name].type.shape)


@pytest.mark.parametrize("axes", [(1,), (2, 3), (0, 1, 2, 3), (0, 3)])
@pytest.mark.parametrize("correction", [0.0, 1.0])
@pytest.mark.parametrize("keepdims", [True, False])
def test_deviations(axes: tuple[int, ...], correction: float, keepdims: bool) -> None:
    x = bf16.stored(np.random.default_rng(2).normal(3, 5, (3, 4, 6, 10)).astype(np.float32))
    op = ops.Std(name="y", inputs=("x",), axes=axes, correction=correction, keepdims=keepdims)
    y, want = computed_of(x, op), op.evaluate(x)
    assert y.shape == want.shape
    assert np.abs(y / want - 1).max() < 0.009


def test_deviation_around_a_large_mean() -> None:
    """To eight bits 1000 is any number from 998 to 1002; its deviation is that of what is
    stored."""
    x = bf16.stored(np.random.default_rng(2).normal(1000, 30, (1, 2, 64, 80)).astype(np.float32))
    op = ops.Std(name="y", inputs=("x",), axes=(2, 3), correction=1.0)
    assert np.abs(computed_of(x, op) / op.evaluate(x) - 1).max() < 0.009


def test_deviations_of_rows_that_no_equal_pieces_make_up() -> None:
    """20011 is a prime: the last piece is filled, and what fills it is no part of the row."""
    x = bf16.stored(np.random.default_rng(2).normal(64, 4, (1, 2, 1, 20011)).astype(np.float32))
    op = ops.Std(name="y", inputs=("x",), axes=(3,), correction=1.0)
    assert np.abs(computed_of(x, op) / op.evaluate(x) - 1).max() < 0.009


@pytest.mark.parametrize("kind", ["layer", "instance"])
def test_norms_of_rows_that_no_equal_pieces_make_up(kind: str) -> None:
    rng = np.random.default_rng(2)
    x = bf16.stored(rng.normal(64, 2, (1, 2, 89, 97)).astype(np.float32))
    if kind == "layer":
        op: Op = ops.LayerNorm(name="y", inputs=("x", "g", "b"), axis=2)
        parameters = {"g": rng.random((89, 97)), "b": rng.random((89, 97))}
    else:
        op = ops.InstanceNorm(name="y", inputs=("x", "g", "b"))
        parameters = {"g": np.ones(2), "b": np.zeros(2)}
    want = op.evaluate(x, *(np.float32(a) for a in parameters.values()))
    y = computed_of(x, op, **parameters)
    assert compare_tensors(y, want).cosine > 0.9999
    assert np.abs(y - want).max() < 0.03


def test_deviations_fall_to_bf16_in_mixed_precision() -> None:
    graph = network(
        ops.Std(name="d", inputs=("x",), axes=(2, 3)), ops.Mul(name="y", inputs=("x", "d"))
    )
    (note,) = MixedScheme().notes(graph, BareChip())
    assert note.startswith("d (Std) is computed in BF16 instead of INT8: there is no INT8")
    x = samples(graph)
    quantised = MixedScheme().quantize(graph, calibrated(graph, x), None, BareChip())
    assert quantised["d"].type.dtype is DType.BF16 and quantised["y"].type.dtype is DType.INT8
    (problem,) = Int8Scheme().problems(graph, BareChip())
    assert "use --quant mixed, which computes the layer in BF16" in problem
