"""Full-integer models: what their integers mean, and the thresholds that they bring."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cvi.flow.stepwise import stepwise_values
from cvi.ir import Array, Graph
from cvi.passes import simplify
from cvi_frontend_tflite.frontend import TfliteFrontend
from tflite_models import RELU, SAME, Net, Scales, random

FRONTEND = TfliteFrontend()
INPUT = Scales([1 / 128], [0])
PIXELS = Scales([2 / 255], [127])


def weights(net: Net, *shape: int, scale: float, zero: int = 0, per_channel: bool = False) -> int:
    rng = np.random.default_rng(3)
    if per_channel:
        scales = Scales(list(scale * np.linspace(0.5, 1.5, shape[0])), [0] * shape[0], 0)
        return net.const(rng.integers(-127, 128, shape).astype(np.int8), scales=scales)
    if zero:
        values = rng.integers(1, 256, shape).astype(np.uint8)
        return net.const(values, scales=Scales([scale], [zero]))
    return net.const(rng.integers(-127, 128, shape).astype(np.int8), scales=Scales([scale], [0]))


def bias(net: Net, scales: list[float], channels: int) -> int:
    values = np.random.default_rng(5).integers(-500, 500, channels).astype(np.int32)
    return net.const(values, scales=Scales(scales, [0] * len(scales), 0))


def network(net: Net, *, unsigned: bool) -> int:
    """Convolution, sum, pool, dense, softmax, all with integers, per channel if signed."""
    kind = "UINT8" if unsigned else "INT8"
    shift = 128 if unsigned else 0
    x = net.input(1, 8, 8, 3, type=kind, scales=PIXELS if unsigned else INPUT)
    step = 2 / 255 if unsigned else 1 / 128
    w = weights(net, 4, 3, 3, 3, scale=0.01, zero=120 * unsigned, per_channel=not unsigned)
    per_channel = [step * s for s in 0.01 * np.linspace(0.5, 1.5, 4)]
    b = bias(net, [step * 0.01] if unsigned else per_channel, 4)
    grid = Scales([0.03], [-128 + shift])
    y = net.op(
        "CONV_2D", x, w, b, options="Conv2DOptions", StrideH=1, StrideW=1, Padding=SAME,
        FusedActivationFunction=RELU, type=kind, scales=grid,
    )  # fmt: skip
    both = net.op(
        "ADD", y, y, options="AddOptions", type=kind, scales=Scales([0.05], [-128 + shift])
    )
    mean = net.op(
        "AVERAGE_POOL_2D", both, options="Pool2DOptions", FilterHeight=8, FilterWidth=8,
        StrideH=1, StrideW=1, Padding=1, type=kind, scales=Scales([0.05], [-128 + shift]),
    )  # fmt: skip
    dense = net.op(
        "FULLY_CONNECTED", mean, weights(net, 5, 4, scale=0.02, zero=128 * unsigned),
        bias(net, [0.05 * 0.02], 5), options="FullyConnectedOptions", type=kind,
        scales=Scales([0.1], [10 + shift]),
    )  # fmt: skip
    return net.op(  # type: ignore[no-any-return]
        "SOFTMAX", dense, options="SoftmaxOptions", Beta=1.0, type=kind,
        scales=Scales([1 / 256], [-128 + shift]),
    )  # fmt: skip


def compared(graph: Graph, path: Path, x: Array) -> list[tuple[str, float]]:
    """Largest difference of every layer from the interpreter's, in steps of its grid."""
    sources = {op.source: op.name for op in graph.ops if op.source}
    shown = FRONTEND.reference(path, {"x": x})
    reference = {sources[name]: array for name, array in shown.items() if name in sources}
    values = stepwise_values(graph, {"x": x}, reference)
    return [
        (name, float(np.abs(values[name] - reference[name]).max() / _step(graph, name)))
        for name in reference
    ]


def _step(graph: Graph, name: str) -> float:
    own = graph.thresholds[name]
    return (own.max - own.min) / 255


@pytest.mark.parametrize("unsigned", [True, False], ids=["uint8 per tensor", "int8 per channel"])
def test_every_layer_is_within_a_step_of_the_interpreter(
    in_process: None, tmp_path: Path, unsigned: bool
) -> None:
    net = Net()
    path = net.save(tmp_path / "net.tflite", network(net, unsigned=unsigned))
    graph = simplify(FRONTEND.load(path))
    rows = compared(graph, path, random(1, 3, 8, 8))
    assert len(rows) == 6
    assert max(difference for _, difference in rows) <= 1.001, rows
    assert sum(difference for _, difference in rows) < 5.5  # most agree to the last bit


def test_thresholds_are_the_ends_of_the_ranges(tmp_path: Path) -> None:
    net = Net()
    graph = FRONTEND.load(net.save(tmp_path / "net.tflite", network(net, unsigned=True)))
    ends = {name: (t.threshold, t.min, t.max) for name, t in graph.thresholds.items()}
    assert set(ends) == {op.name for op in graph.ops if op.kind != "Reshape"}
    assert ends["x"] == pytest.approx((128 * 2 / 255, -127 * 2 / 255, 128 * 2 / 255))
    assert ends["t0_CONV_2D"] == pytest.approx((255 * 0.03, 0, 255 * 0.03))
    assert ends["t3_FULLY_CONNECTED"] == pytest.approx((13.8, -13.8, 11.7))
    simple = simplify(graph)
    assert {op.name for op in simple.ops} - set(simple.thresholds) <= {
        op.name for op in simple.ops if op.kind == "Reshape"
    }


def test_float_models_bring_none(tmp_path: Path) -> None:
    net = Net()
    path = net.save(tmp_path / "net.tflite", net.op("TANH", net.input(2, 3)))
    assert not FRONTEND.load(path).thresholds
    assert not FRONTEND.brings_thresholds(path)
    net = Net()
    path = net.save(tmp_path / "net.tflite", network(net, unsigned=False))
    assert FRONTEND.brings_thresholds(path)


def test_dynamic_range_weights_stand_for_floats(in_process: None, tmp_path: Path) -> None:
    """Integer weights beside float data, also where the file's buffer moves to its end."""
    net = Net()
    x = net.input(1, 8, 8, 3)
    w = weights(net, 4, 3, 3, 3, scale=0.01, per_channel=True)
    y = net.op("CONV_2D", x, w, net.const(random(4)), options="Conv2DOptions", StrideH=1, StrideW=1)
    flat = net.op("RESHAPE", y, net.const([1, 256]))
    dense = net.op(
        "FULLY_CONNECTED", flat, weights(net, 5, 256, scale=0.02), net.const(random(5)),
        options="FullyConnectedOptions",
    )  # fmt: skip
    path = net.save(tmp_path / "net.tflite", dense)
    graph = FRONTEND.load(path)
    assert not graph.thresholds
    from cvi.execute import evaluate

    x_value = random(1, 3, 8, 8)
    shown = FRONTEND.reference(path, {"x": x_value})
    values = evaluate(graph, {"x": x_value}, keep=True)
    for op in graph.ops:
        if op.source in shown:
            np.testing.assert_allclose(values[op.name], shown[op.source], atol=1e-4)


def test_bias_whose_scales_name_the_axis_of_the_weights(in_process: None, tmp_path: Path) -> None:
    net = Net()
    x = net.input(1, 4, 4, 4, type="INT8", scales=INPUT)
    scales = list(np.linspace(0.005, 0.02, 4))
    w = net.const(
        np.random.default_rng(1).integers(-127, 128, (1, 3, 3, 4)).astype(np.int8),
        scales=Scales(scales, [0] * 4, 3),
    )
    b = net.const(
        np.arange(4).astype(np.int32) * 100, scales=Scales([s / 128 for s in scales], [0] * 4, 3)
    )
    y = net.op(
        "DEPTHWISE_CONV_2D", x, w, b, options="DepthwiseConv2DOptions", StrideH=1, StrideW=1,
        DepthMultiplier=1, DilationHFactor=1, DilationWFactor=1, type="INT8",
        scales=Scales([0.05], [3]),
    )  # fmt: skip
    path = net.save(tmp_path / "net.tflite", y)
    rows = compared(simplify(FRONTEND.load(path)), path, random(1, 4, 4, 4))
    assert max(difference for _, difference in rows) <= 1.001, rows


def test_four_bit_weights(tmp_path: Path) -> None:
    net = Net()
    packed = np.array([0x1F, 0x80, 0x7A], np.uint8)  # -1, 1, 0, -8, -6, 7
    w = net.const(packed, scales=Scales([0.5]))
    net.tensors[w].type, net.tensors[w].shape = "INT4", (2, 3)
    y = net.op("FULLY_CONNECTED", net.input(1, 3), w, options="FullyConnectedOptions")
    graph = FRONTEND.load(net.save(tmp_path / "net.tflite", y))
    (weight,) = graph.constants.values()
    np.testing.assert_array_equal(weight, [[-0.5, 0.5, 0], [-4, -3, 3.5]])
