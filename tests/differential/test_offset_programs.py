"""Networks with tensors that are stored from -128 on run on every chip, with the bytes that
their ops define, and give what the float network gives."""

from __future__ import annotations

import numpy as np
import pytest
from program_runs import check_program

from chips import each_chip
from cvi import plugins
from cvi.calibrate.calibrate import calibrate
from cvi.execute import evaluate
from cvi.flow.real import quantised_inputs, real_values
from cvi.ir import Array, Graph, Input, TensorType
from cvi.ops import Concat, Conv2d, FullyConnected, MaxPool2d, Reshape
from cvi.precision import Precision, PrecisionPlan
from cvi_tpu.chip import ChipSpec
from vendor_here import needs_vendor


def _network(seed: int) -> Graph:
    """Convolutions of many kinds, maxima and a concatenation, all of which read what relus
    leave; then rows."""
    random = np.random.default_rng(seed)
    channels, size = int(random.integers(3, 40)), int(random.integers(7, 20))
    graph = Graph("offsets")
    graph.add(Input(name="x", type=TensorType((1, 3, size, size))))

    def conv(name: str, source: str, oc: int, kernel: int, **options: object) -> str:
        ic, group = graph[source].type.shape[1], int(options.get("group", 1))  # type: ignore[call-overload]
        weight = random.standard_normal((oc, ic // group, kernel, kernel)) / kernel
        w = graph.constant(f"{name}_w", (weight / np.sqrt(ic / group)).astype(np.float32))
        b = graph.constant(f"{name}_b", random.standard_normal(oc).astype(np.float32) * 0.1)
        given: dict[str, object] = {"relu": True, **options}
        return graph.add(Conv2d(name=name, inputs=(source, w, b), **given)).name  # type: ignore[arg-type]

    conv("first", "x", channels, 3, pads=(1, 1, 1, 1))
    conv("deep", "first", channels, 3, pads=(1, 0, 1, 2), group=channels)
    conv("left", "deep", channels, 1)
    conv("right", "deep", 5, 3, pads=(2, 2, 2, 2), dilation=(2, 2))
    graph.add(Concat(name="both", inputs=("left", "right")))
    graph.add(
        MaxPool2d(name="max", inputs=("both",), kernel=(3, 3), stride=(2, 2), pads=(1, 1, 1, 1))
    )
    conv("last", "max", 4, 3, stride=(2, 2), pads=(0, 1, 0, 1), pad_value=0.0)
    elements = graph["last"].type.elements
    graph.add(Reshape(name="flat", inputs=("last",), shape=(1, elements)))
    v = graph.constant("v", random.standard_normal((6, elements)).astype(np.float32))
    graph.add(FullyConnected(name="fc", inputs=("flat", v, "")))
    graph.outputs = ("fc",)
    return graph


def _quantised(
    seed: int, spec: ChipSpec, bf16: tuple[str, ...]
) -> tuple[Graph, Graph, dict[str, Array]]:
    graph = _network(seed)
    random = np.random.default_rng(seed + 1000)
    images = [
        {"x": random.standard_normal(graph["x"].type.shape).astype(np.float32)} for _ in range(3)
    ]
    table = calibrate(graph, images, method="max")
    plan = PrecisionPlan(layers=dict.fromkeys(bf16, Precision.BF16))
    made = plugins.scheme("mixed" if bf16 else "int8").quantize(
        graph, table, plan, plugins.chip(spec.name), inputs_type="int8", outputs_type="int8"
    )
    return graph, made, images[0]


def _check(seed: int, spec: ChipSpec, *, vendor: bool, bf16: tuple[str, ...] = ()) -> None:
    graph, made, image = _quantised(seed, spec, bf16)
    offsets = {op.name for op in graph if made[op.name].type.zero == -128}
    assert offsets >= {*_OFFSETS} - {*bf16}
    casts = {op.kind for op in made if getattr(op, "out_zero", 0) or getattr(op, "zero", 0)}
    assert not bf16 or casts >= {"Bf16FromInt8", "Int8FromBf16"}
    fed = quantised_inputs(made, image)
    check_program(made, fed, spec=spec, vendor=vendor)
    found = real_values(made, evaluate(made, fed))["fc"].ravel()
    expected = evaluate(graph, image)["fc"].ravel()
    assert np.abs(found - expected).max() < 0.1 * np.abs(expected).max()


_OFFSETS = ("first", "deep", "left", "right", "both", "max", "last", "flat")
_IN_BF16 = (("deep",), ("left", "max"), ("first", "right"))


@each_chip
@pytest.mark.parametrize("bf16", _IN_BF16)
def test_layers_in_bf16_on_the_simulator(bf16: tuple[str, ...], spec: ChipSpec) -> None:
    _check(1, spec, vendor=False, bf16=bf16)


@needs_vendor
@pytest.mark.vendor
@each_chip
@pytest.mark.parametrize("bf16", _IN_BF16)
def test_layers_in_bf16_on_the_vendors(bf16: tuple[str, ...], spec: ChipSpec) -> None:
    _check(2, spec, vendor=True, bf16=bf16)


@each_chip
@pytest.mark.parametrize("seed", range(4))
def test_simulator(seed: int, spec: ChipSpec) -> None:
    _check(seed, spec, vendor=False)


@needs_vendor
@pytest.mark.vendor
@each_chip
@pytest.mark.parametrize("seed", range(4, 7))
def test_vendor(seed: int, spec: ChipSpec) -> None:
    _check(seed, spec, vendor=True)
