"""Weights in int8 for layers that compute in BF16."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from small_nets import BareChip, calibrated, chip, network, random, samples

from cvi import ops
from cvi.compare import compare_tensors
from cvi.errors import ModelError, UnsupportedError
from cvi.execute import evaluate
from cvi.flow.real import quantised_inputs
from cvi.ir import Array, DType, Graph, Input, Op, TensorType
from cvi.precision import Precision, PrecisionPlan
from cvi_tpu.quantized import bf16
from cvi_tpu.quantized.mix_bf16 import quantise_rows
from cvi_tpu.quantized.ops import Bf16Conv2d
from cvi_tpu.quantized.scheme import Bf16Scheme, Int8Scheme, MixBf16Scheme, MixedScheme

MIX = Precision.MIX_BF16


def mixed(graph: Graph, **types: str) -> Graph:
    return MixBf16Scheme().quantize(graph, None, None, BareChip(), **types)


def literally(row: list[float]) -> tuple[list[int], float, float]:
    """FACTS_TOOLCHAIN 6.5, one weight after the other."""
    if max(row) == min(row):
        return [1] * len(row), bf16.nearest(row[0]), 0.0
    zero = (max(row) + min(row)) / 2
    steps = [math.floor((w - zero) * 128 / (max(row) - zero) + 0.5) for w in row]
    within = [min(max(step, -128), 127) for step in steps]
    return within, bf16.nearest((max(row) - zero) / 128), bf16.nearest(zero)


@pytest.mark.parametrize("shift", [0.0, 3.0, -0.25])
def test_rows_have_steps_around_their_middle(shift: float) -> None:
    weight = random(7, 5, 3) + np.float32(shift)
    weight[2] = 0.7
    weight[3] = 0
    found = quantise_rows(weight)
    for i, row in enumerate(weight.reshape(7, -1).astype(np.float64).tolist()):
        steps, scale, zero = literally(row)
        assert found.weight[i].ravel().tolist() == steps
        assert (bf16.decode(found.scale[i]), bf16.decode(found.zero[i])) == (scale, zero)
        product = [bf16.nearest(step * scale) for step in steps]
        sums = [np.float32(np.float32(p) + np.float32(zero)) for p in product]
        # bf16.add rounds toward zero before: within one step of BF16 of this
        np.testing.assert_allclose(
            bf16.decode(found.patterns[i]).ravel(), sums, rtol=2**-7, atol=1e-6
        )


def test_the_engine_rounds_product_and_sum() -> None:
    """95 * 0.3359375 = 31.9140625 is stored as 31.875, and 31.875 + 0.25 as 32; rounded once
    it were 32.25."""
    weight = np.full((1, 1, 1, 1), 95, np.int8)
    scale, zero = (np.array([bf16.pattern(v)], np.uint16) for v in (0.3359375, 0.25))
    conv = Bf16Conv2d(name="y", inputs=("x", "w", "", "s", "z"))
    one = np.full((1, 1, 1, 1), bf16.ONE, np.uint16)
    for result in (conv.evaluate, conv.estimate):
        y = result(one, weight, None, scale, zero)
        assert bf16.decode(y).item() == 32.0


def test_many_rows_are_done_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    weight = random(9, 4)
    whole = quantise_rows(weight)
    monkeypatch.setattr("cvi_tpu.quantized.mix_bf16._BLOCK", 8)
    parts = quantise_rows(weight)
    assert np.array_equal(whole.weight, parts.weight)
    assert np.array_equal(whole.patterns, parts.patterns)


FC = ops.FullyConnected(name="y", inputs=("x", "w", "b"), relu=True)
PRODUCTS: dict[str, tuple[Op, dict[str, tuple[int, ...]], dict[str, Array]]] = {
    "fully connected": (FC, {"x": (3, 20)}, {"w": random(10, 20), "b": random(10, seed=1)}),
    "right": (ops.MatMul(name="y", inputs=("x", "w")), {"x": (2, 3, 20)}, {"w": random(20, 10)}),
    "right stack": (
        ops.MatMul(name="y", inputs=("x", "w")), {"x": (2, 3, 20)}, {"w": random(1, 20, 10)},
    ),
    "left": (
        ops.MatMul(name="y", inputs=("w", "x"), relu=True), {"x": (20, 7)}, {"w": random(10, 20)},
    ),
    "left of a stack": (
        ops.MatMul(name="y", inputs=("w", "x")), {"x": (2, 3, 20, 7)}, {"w": random(10, 20)},
    ),
    "left of a vector": (
        ops.MatMul(name="y", inputs=("w", "x")), {"x": (20,)}, {"w": random(10, 20)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", PRODUCTS)
def test_products_with_a_constant_have_int8_weights(kind: str) -> None:
    op, inputs, constants = PRODUCTS[kind]
    graph = network(op, inputs=inputs, **constants)
    quantised = mixed(graph)
    assert not MixBf16Scheme().notes(graph, BareChip())
    (conv,) = (op for op in quantised.ops if isinstance(op, Bf16Conv2d))
    assert conv.is_mixed
    weight, _, scale, zero = (quantised.constants.get(name) for name in conv.inputs[1:])
    assert weight is not None and weight.dtype == np.int8 and weight.shape[:2] == (10, 20)
    assert scale is not None and zero is not None and scale.shape == zero.shape == (10,)
    x = samples(graph)
    want = evaluate(graph, x)["y"]
    got = evaluate(quantised, quantised_inputs(quantised, x))[quantised.outputs[0]]
    assert got.shape == want.shape
    assert compare_tensors(got, want).cosine > 0.9998
    fast = evaluate(quantised, quantised_inputs(quantised, x), exact=False)[quantised.outputs[0]]
    assert compare_tensors(fast, want).cosine > 0.9998


@pytest.mark.parametrize("shape", [(), (4,), (2, 1, 3, 1, 2)])
def test_tables_have_a_scale_per_column(shape: tuple[int, ...]) -> None:
    graph = Graph("net")
    table = random(9, 5) * np.float32([1, 10, 0.1, 1, 1]) + np.float32([0, 40, 0, 0, -3])
    graph.constants = {"t": table}
    graph.add(Input(name="i", type=TensorType(shape, DType.INT32)))
    graph.add(ops.Embedding(name="y", inputs=("i", "t")))
    graph.outputs = ("y",)
    quantised = mixed(graph)
    assert not MixBf16Scheme().notes(graph, BareChip())
    indices = {"i": np.random.default_rng(0).integers(0, 9, shape).astype(np.int32)}
    got = evaluate(quantised, indices)[quantised.outputs[0]]
    found = quantise_rows(np.ascontiguousarray(table.T))
    assert np.array_equal(got, bf16.decode(found.patterns.T)[indices["i"]])
    np.testing.assert_allclose(got, evaluate(graph, indices)["y"], rtol=0.01, atol=0.01)
    stored = [a for a in quantised.constants.values() if a.shape == (9, 5)]
    assert [a.dtype for a in stored] == [np.int8]


def conv_and_fc() -> Graph:
    return network(
        ops.Conv2d(name="c", inputs=("x", "k", "")),
        ops.Relu(name="r", inputs=("c",)),
        ops.Reshape(name="f", inputs=("r",), shape=(1, 3 * 36)),
        ops.FullyConnected(name="y", inputs=("f", "w", "")),
        k=random(3, 4, 3, 3), w=random(5, 108),
    )  # fmt: skip


def test_a_plan_names_the_layers_with_int8_weights() -> None:
    graph = conv_and_fc()
    table = calibrated(graph, samples(graph))
    for scheme, default in ((MixedScheme(), Precision.INT8), (Bf16Scheme(), Precision.BF16)):
        plan = PrecisionPlan(default, {"y": MIX})
        quantised = scheme.quantize(graph, table, plan, BareChip())
        convs = [op for op in quantised.ops if "Conv2d" in op.kind]
        kinds = ["Int8Conv2d" if default is Precision.INT8 else "Bf16Conv2d", "Bf16Conv2d"]
        assert [op.kind for op in convs] == kinds
        assert [len(op.inputs) for op in convs] == [5 if default is Precision.INT8 else 3, 5]
        assert not scheme.notes(graph, BareChip(), plan)


def test_a_plan_takes_the_int8_weights_away() -> None:
    plan = PrecisionPlan(MIX, {"y": Precision.BF16})
    quantised = MixBf16Scheme().quantize(conv_and_fc(), None, plan, BareChip())
    assert not any(op.is_mixed for op in quantised.ops if isinstance(op, Bf16Conv2d))


def test_layers_that_fall_back_say_so() -> None:
    graph = conv_and_fc()
    (note,) = MixBf16Scheme().notes(graph, BareChip())
    assert note == (
        "c (Conv2d) is computed in BF16 without weights in int8: only matrix products and "
        "tables of embeddings have those"
    )
    plan = PrecisionPlan(layers={"r": MIX})
    (note,) = MixedScheme().notes(graph, BareChip(), plan)
    assert note.startswith("r (Relu) is computed in BF16 without weights in int8: only matrix")
    computed = network(ops.MatMul(name="y", inputs=("x", "z")), inputs={"x": (2, 3), "z": (3, 4)})
    (note,) = MixBf16Scheme().notes(computed, BareChip())
    assert note.endswith("both factors are computed, or the constant one is no single matrix")
    stack = network(ops.MatMul(name="y", inputs=("x", "w")), inputs={"x": (2, 5, 3)},
                    w=random(2, 3, 4))  # fmt: skip
    assert len(MixBf16Scheme().notes(stack, BareChip())) == 1
    assert "Bf16MatMul" in [op.kind for op in mixed(stack).ops]


def test_the_means_correct_the_bias() -> None:
    """What rounding loses on average is in the bias, as for weights in BF16."""
    graph = network(ops.FullyConnected(name="y", inputs=("x", "w", "")), inputs={"x": (64, 300)},
                    w=random(4, 300))  # fmt: skip
    x = {"x": random(64, 300, seed=3, low=0, high=4)}
    means = {"x": tuple(x["x"].mean(axis=0).tolist())}
    table = replace(calibrated(graph, x), means=means)
    want = evaluate(graph, x)["y"]
    errors = []
    for known in (None, table):
        quantised = MixBf16Scheme().quantize(graph, known, None, BareChip(), inputs_type="fp32")
        got = evaluate(quantised, x)[quantised.outputs[0]]
        errors.append(np.abs((got - want).mean(axis=0)).max())
    assert errors[1] < errors[0] / 4


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_weights_must_be_numbers(number: float) -> None:
    weight = random(4, 3)
    weight[1, 1] = number
    layer = ops.FullyConnected(name="y", inputs=("x", "w", ""))
    graph = network(layer, inputs={"x": (1, 3)}, w=weight)
    with pytest.raises(ModelError, match="not a finite number"):
        mixed(graph)


def test_other_schemes_refuse() -> None:
    graph = conv_and_fc()
    with pytest.raises(UnsupportedError, match="every layer in INT8"):
        Int8Scheme().quantize(graph, None, PrecisionPlan(layers={"y": MIX}), BareChip())
    with pytest.raises(UnsupportedError, match="every layer in BF16"):
        MixBf16Scheme().quantize(graph, None, PrecisionPlan(MIX, {"y": Precision.INT8}), BareChip())
    lookup = Graph("net")
    lookup.constants = {"t": random(9, 5)}
    lookup.add(Input(name="i", type=TensorType((2,), DType.INT32)))
    lookup.add(ops.Embedding(name="y", inputs=("i", "t")))
    lookup.outputs = ("y",)
    assert MixBf16Scheme().problems(lookup, chip(has_cpu_functions=False))


@pytest.mark.parametrize(
    ("weight", "scale", "zero", "why"),
    [
        (np.zeros((4, 3, 1, 1), np.uint16), 4, 4, "weight must be int8"),
        (np.zeros((4, 3, 1, 1), np.int8), 3, 4, r"must be \[4\]"),
        (np.zeros((4, 3, 1, 1), np.int8), 4, 5, r"must be \[4\]"),
    ],
)
def test_operands_that_do_not_fit(weight: Array, scale: int, zero: int, why: str) -> None:
    graph = Graph("net")
    graph.add(Input(name="x", type=TensorType((1, 3, 2, 2), DType.BF16)))
    rows = (np.zeros(scale, np.uint16), np.zeros(zero, np.uint16))
    names = [graph.constant(f"c{i}", array) for i, array in enumerate((weight, *rows))]
    with pytest.raises(ModelError, match=why):
        graph.add(Bf16Conv2d(name="y", inputs=("x", names[0], "", *names[1:])))


def test_depthwise_weights_stay_in_bf16() -> None:
    graph = Graph("net")
    graph.add(Input(name="x", type=TensorType((1, 3, 2, 2), DType.BF16)))
    arrays = (np.zeros((3, 1, 1, 1), np.int8), *np.zeros((2, 3), np.uint16))
    names = [graph.constant(f"c{i}", array) for i, array in enumerate(arrays)]
    with pytest.raises(ModelError, match="depthwise weight cannot be int8"):
        graph.add(Bf16Conv2d(name="y", inputs=("x", names[0], "", *names[1:]), group=3))
