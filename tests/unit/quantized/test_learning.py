"""Rounding learned from images: nearer to the float layers for these images, with the same
instructions, and the same every time."""

from __future__ import annotations

from math import frexp

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_nets import BareChip, network

from cvi.calibrate.calibrate import calibrate
from cvi.calibrate.table import CalibrationTable
from cvi.execute import evaluate
from cvi.flow.real import quantised_inputs, real_values
from cvi.ir import Array, DType, Graph, Op
from cvi.ops import Conv2d, ConvTranspose2d, FullyConnected, MaxPool2d, Reshape
from cvi.precision import Precision, PrecisionPlan
from cvi.walk import Walk, live_bytes
from cvi_tpu.quantized import bf16, learning
from cvi_tpu.quantized.bf16_weights import neighbours
from cvi_tpu.quantized.ops import Bf16Conv2d, Fp32Conv
from cvi_tpu.quantized.scheme import Bf16Scheme, Int8Scheme, MixedScheme

_SAME = (1, 1, 1, 1)
Images = list[dict[str, Array]]


class Log:
    """Progress that remembers."""

    def __init__(self) -> None:
        self.steps: list[tuple[int, int | None]] = []
        self.notes: list[str] = []

    def stage(self, name: str, title: str) -> None:
        raise AssertionError(name)

    def step(self, done: int, total: int | None = None) -> None:
        self.steps.append((done, total))

    def note(self, text: str) -> None:
        self.notes.append(text)


def _weights(*shape: int) -> Array:
    return np.random.default_rng(len(shape)).standard_normal(shape).astype(np.float32) * 0.3


def _images(graph: Graph, count: int = 6) -> Images:
    """Smooth images, never negative: neighbours see much the same."""
    random = np.random.default_rng(8)
    found = []
    for _ in range(count):
        x = {op.name: random.gamma(1.0, 1.0, op.type.shape) for op in graph.inputs}
        found.append({n: (a + a.mean(axis=1, keepdims=True)).astype("f4") for n, a in x.items()})
    return found


def _learned(
    graph: Graph, table: CalibrationTable, images: Images, log: Log | None = None
) -> Graph:
    return Int8Scheme().quantize_learned(
        graph, table, None, BareChip(), images, outputs_type="int8", progress=log or Log()
    )


def _nearest(graph: Graph, table: CalibrationTable) -> Graph:
    return Int8Scheme().quantize(graph, table, None, BareChip(), outputs_type="int8")


def _conv(name: str, source: str, weight: str, bias: str = "", **options: object) -> Conv2d:
    return Conv2d(name=name, inputs=(source, weight, bias), **options)  # type: ignore[arg-type]


_LAYERS: dict[str, tuple[Op, tuple[int, ...], tuple[int, ...]]] = {
    "convolution": (_conv("y", "x", "w", "b", pads=_SAME), (4, 4, 3, 3), (1, 4, 8, 8)),
    "depthwise": (_conv("y", "x", "w", group=6), (6, 1, 3, 3), (1, 6, 8, 8)),
    "grouped": (_conv("y", "x", "w", group=2, stride=(2, 2)), (6, 4, 2, 2), (2, 8, 6, 6)),
    "dilated": (
        _conv("y", "x", "w", dilation=(17, 1), stride=(2, 1)), (3, 4, 2, 3), (1, 4, 24, 6),
    ),
    "phases": (_conv("y", "x", "w", dilation=(20, 20)), (3, 4, 2, 2), (1, 4, 24, 24)),
    "transposed": (
        ConvTranspose2d(name="y", inputs=("x", "w", ""), stride=(2, 2), pads=_SAME),
        (4, 3, 3, 3), (1, 4, 5, 5),
    ),
    "fully connected": (FullyConnected(name="y", inputs=("x", "w", "b")), (4, 20), (3, 20)),
}  # fmt: skip


def _only(kind: str) -> tuple[Graph, Images]:
    op, weight, shape = _LAYERS[kind]
    constants = {"w": _weights(*weight)}
    if "b" in op.inputs:
        constants["b"] = _weights(4)
    graph = network(op, inputs={"x": shape}, **constants)
    return graph, _images(graph)


@pytest.fixture
def unrounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Convolutions give sums in fractions of a step, neither rounded nor saturated."""

    def real(acc: Array, multipliers: Array, shifts: Array, *, relu: bool) -> Array:
        ratios = np.ldexp(multipliers.astype(np.float64), -31 - shifts.astype(int))
        return acc * ratios.reshape(-1, 1, 1)

    monkeypatch.setattr("cvi_tpu.quantized.ops.conv.requantise_channels", real)


def _errors(quantised: Graph, graph: Graph, images: Images) -> Array:
    """The results less those of the float layer for the very same int8 inputs."""
    found = []
    for image in images:
        fed = quantised_inputs(quantised, image)
        steps = evaluate(quantised, fed)["y"]
        scale = quantised.type_of("y").scale
        assert scale is not None
        found.append(steps * scale - evaluate(graph, real_values(quantised, fed))["y"])
    return np.array(found)


@pytest.mark.parametrize("means", [True, False])
@pytest.mark.parametrize("kind", _LAYERS)
def test_every_kind_of_filter_comes_nearer_to_the_float_layer(
    kind: str, means: bool, unrounded: None
) -> None:
    graph, images = _only(kind)
    table = calibrate(graph, images, method="max")
    table = table if means else CalibrationTable(table.entries)
    before, after = _nearest(graph, table), _learned(graph, table, images)
    errors = [float(np.square(_errors(one, graph, images)).mean()) for one in (before, after)]
    assert 0 < errors[1] < 0.99 * errors[0]


def test_the_mean_error_is_taken_out_of_the_bias(unrounded: None) -> None:
    graph, images = _only("fully connected")
    quantised = _learned(graph, calibrate(graph, images, method="max"), images)
    errors = _errors(quantised, graph, images)
    assert (np.abs(errors.mean(axis=(0, 1))) < 0.02 * np.abs(errors).max()).all()


def _net() -> Graph:
    graph = network(
        _conv("a", "x", "wa", "b", pads=_SAME, relu=True),
        _conv("d", "a", "wd", group=4, relu=True),
        MaxPool2d(name="max", inputs=("d",), kernel=(2, 2), stride=(2, 2)),
        _conv("c", "max", "wc", "b"),
        Reshape(name="flat", inputs=("c",), shape=(1, 36)),
        FullyConnected(name="y", inputs=("flat", "wf", "b")),
        wa=_weights(4, 4, 3, 3), wd=_weights(4, 1, 3, 3), wc=_weights(4, 4, 1, 1),
        wf=_weights(4, 36), b=_weights(4),
    )  # fmt: skip
    return graph


def test_only_weights_and_biases_of_a_network_change() -> None:
    graph = _net()
    images, log = _images(graph), Log()
    table = calibrate(graph, images, method="max")
    before, after = _nearest(graph, table), _learned(graph, table, images, log)
    assert before.ops == after.ops
    assert list(before.constants) == list(after.constants)
    changed = {n for n, a in after.constants.items() if not np.array_equal(a, before.constants[n])}
    assert {f"{n}_weight" for n in "adcy"} <= changed
    assert all(name.endswith(("_weight", "_bias")) for name in changed)
    for name in changed:
        assert after.constants[name].dtype == before.constants[name].dtype
        if name.endswith("_weight"):
            moved = after.constants[name].astype(int) - before.constants[name]
            assert np.abs(moved).max() == 1
    assert log.steps == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert log.notes == ["rounding of 4 filters learned from 6 samples"]


def test_the_same_samples_give_the_same_weights() -> None:
    graph = _net()
    images = _images(graph)
    table = calibrate(graph, images, method="max")
    one, two = _learned(graph, table, images), _learned(graph, table, iter(images))
    for name, array in one.constants.items():
        assert np.array_equal(array, two.constants[name])


@pytest.mark.parametrize("means", [True, False])
@pytest.mark.parametrize("kind", ["convolution", "depthwise", "grouped", "fully connected"])
def test_filters_in_bf16_come_nearer_to_the_float_layer(kind: str, means: bool) -> None:
    graph, images = _only(kind)
    table = calibrate(graph, images, method="max") if means else None
    made = [
        Bf16Scheme().quantize(graph, table, None, BareChip()),
        Bf16Scheme().quantize_learned(graph, table, None, BareChip(), images, progress=Log()),
    ]
    errors = [_rounding_error(one, graph, images) for one in made]
    assert 0 < errors[1] < 0.99 * errors[0]


def _rounding_error(quantised: Graph, graph: Graph, images: Images) -> float:
    """The mean square of what rounded weights change in float results, for BF16 inputs."""
    conv = next(op for op in quantised if isinstance(op, Bf16Conv2d | Fp32Conv))
    weight = bf16.decode(quantised.constants[conv.inputs[1]])
    known = {"w": weight.reshape(graph.constants["w"].shape)}
    layer = graph["y"]
    if conv.inputs[2]:
        bias = quantised.constants[conv.inputs[2]]
        known["b"] = bias if bias.ndim == 1 else bf16.decode(bias).sum(axis=1)
        layer = layer.with_(inputs=("x", "w", "b"))
    ops = [layer if op.name == "y" else op for op in graph.ops]
    rounded = graph.rebuilt(ops, outputs=("y",), constants={**graph.constants, **known})
    errors = []
    for image in images:
        fed = {"x": bf16.stored(image["x"])}
        errors.append(evaluate(rounded, fed)["y"] - evaluate(graph, fed)["y"])
    return float(np.square(errors).mean())


def test_all_layers_of_a_mixed_network_learn() -> None:
    graph = _net()
    images, log = _images(graph), Log()
    table = calibrate(graph, images, method="max")
    plan = PrecisionPlan(Precision.INT8, {"d": Precision.BF16})
    options = (graph, table, plan, BareChip())
    learned = MixedScheme().quantize_learned(*options, images, progress=log)
    assert learned["d"].type.dtype is DType.BF16
    nearest = MixedScheme().quantize(*options)
    for name in "adcy":
        weights = [one.constants[f"{name}_weight"] for one in (learned, nearest)]
        assert not np.array_equal(*weights)
    assert log.notes == ["rounding of 4 filters learned from 6 samples"]


def test_a_few_samples_are_enough() -> None:
    graph = _net()
    images, log = _images(graph, 40), Log()
    options = (graph, None, None, BareChip(), images)
    Bf16Scheme().quantize_learned(*options, thorough=False, progress=log)
    Bf16Scheme().quantize_learned(*options, thorough=True, progress=log)
    assert log.notes == [f"rounding of 4 filters learned from {n} samples" for n in (16, 40)]


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_both_neighbours_of_a_weight(value: float) -> None:
    found = neighbours(np.array([value], np.float32))
    nearest, other = float(found.nearest[0]), float(found.other[0])
    assert nearest == bf16.nearest(value)
    if nearest == other:
        representable = value == nearest or abs(value) < 2.0**-126
        assert representable or abs(value) >= float(bf16.decode(np.array([bf16.LARGEST]))[0])
    else:
        assert min(nearest, other) < value < max(nearest, other)
        assert frexp(abs(other - nearest))[0] == 0.5
        between = (nearest + other) / 2
        assert bf16.nearest(between) in (nearest, other)


def test_filters_that_are_too_large_stay_and_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning, "_LARGEST", 36**2 - 1)
    graph = _net()
    images, log = _images(graph), Log()
    table = calibrate(graph, images, method="max")
    before, after = _nearest(graph, table), _learned(graph, table, images, log)
    for name in ("a_weight", "y_weight"):
        assert np.array_equal(before.constants[name], after.constants[name])
    why = "weights are rounded to nearest, for a filter of 36 weights is too large to learn"
    assert log.notes[:2] == [f"a: {why}", f"y_conv: {why}"]


def test_weights_that_two_layers_share_stay() -> None:
    graph, images = _only("depthwise")
    table = calibrate(graph, images, method="max")
    made = Int8Scheme()._rewritten(graph, table, None, BareChip(), "int8", "int8")
    made.graph.add(made.graph["y"].with_(name="twin"))
    made.graph.outputs = ("y", "twin")
    log = Log()
    learned = learning.learn_rounding(made.graph, made.filters, images, log)
    assert "several layers share them" in log.notes[0]
    assert np.array_equal(learned.constants["y_weight"], made.graph.constants["y_weight"])


def test_as_many_samples_as_fit_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = _net()
    images, log = _images(graph), Log()
    table = calibrate(graph, images, method="max")
    monkeypatch.setattr("cvi.walk._MEMORY", 2 * live_bytes(_nearest(graph, table)) + 1)
    _learned(graph, table, images, log)
    assert log.notes == ["rounding of 4 filters learned from 2 samples"]


def test_a_walk_ahead_computes_with_what_constants_are_then() -> None:
    graph = _net()
    image = _images(graph, 1)[0]
    walk = Walk(graph, [image])
    most, results = 0, {}
    for op in walk.ahead():
        assert op.name not in walk.live[0] or op.name == "x"
        assert all(name in walk.live[0] or name in graph.constants for name in op.inputs if name)
        if op.name == "c":
            graph.constants = {**graph.constants, "wc": 2 * graph.constants["wc"]}
        most = max(most, sum(array.nbytes for array in walk.live[0].values()))
        results.update(walk.live[0])
    assert np.array_equal(results["flat"], evaluate(graph, image, outputs=["flat"])["flat"])
    assert live_bytes(graph) >= most > 0
