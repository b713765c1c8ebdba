"""Products of computed matrices: the rule and the op."""

from __future__ import annotations

import numpy as np
import pytest
from small_nets import calibrated, kinds, network, quantise, samples, worst_steps

from cvi.errors import ModelError
from cvi.ir import Array, DType, Shape, TensorType
from cvi.ops import MatMul
from cvi_tpu.quantized.ops import Int8MatMul

SHAPES: list[tuple[Shape, Shape]] = [
    ((5, 7), (7, 3)),
    ((2, 3, 5, 7), (2, 3, 7, 4)),
    ((2, 1, 5, 7), (3, 7, 4)),
    ((1, 7), (4, 7, 1)),
    ((7,), (7, 3)),
    ((2, 5, 7), (7,)),
    ((7,), (7,)),
    ((1, 1), (1, 1)),
]


def product(relu: bool = False) -> MatMul:
    return MatMul(name="y", inputs=("a", "b"), relu=relu)


@pytest.mark.parametrize(("a", "b"), SHAPES, ids=str)
@pytest.mark.parametrize("relu", [False, True])
def test_products_of_two_computed_tensors(a: Shape, b: Shape, relu: bool) -> None:
    graph = network(product(relu), inputs={"a": a, "b": b})
    assert worst_steps(graph, samples(graph, high=3.0)) <= 0.52


def test_a_result_finer_than_the_sum_is_rescaled() -> None:
    graph = network(product(), inputs={"a": (3, 2), "b": (2, 4)})
    inputs = samples(graph)
    table = calibrated(graph, inputs, y=1e-3)
    quantised = quantise(graph, table, outputs_type="int8")
    assert kinds(quantised) == ["Input", "Input", "Int8MatMul", "Int8Requant"]
    assert worst_steps(graph, {k: v * 0 for k, v in inputs.items()}, table) == 0


def integers(*shape: int) -> Array:
    """Constants that int8 holds exactly."""
    values = np.random.default_rng(1).integers(-127, 128, shape)
    values.reshape(-1)[0] = 127
    return np.asarray(values / 127, np.float32)


@pytest.mark.parametrize(
    ("a", "b", "k"),
    [(None, (2, 7, 3), (5, 7)), ((2, 5, 7), None, (2, 7, 3)), ((7,), None, (4, 7, 3))],
)
def test_one_factor_may_be_constant(a: Shape | None, b: Shape | None, k: Shape) -> None:
    given = {name: shape for name, shape in (("a", a), ("b", b)) if shape is not None}
    constant = {"b" if a else "a": integers(*k)}
    graph = network(product(), inputs=given, **constant)
    assert "Int8MatMul" in kinds(quantise(graph, calibrated(graph, samples(graph))))
    assert worst_steps(graph, samples(graph)) <= 0.52


def test_sums_wrap_at_32_bits() -> None:
    """133153 products of 127 * 127 exceed int32."""
    op = Int8MatMul(name="y", out_scale=1.0, multiplier=2**30, shift=24)
    count = 2**31 // 127**2 + 1
    a, b = np.full((1, count), 127, np.int8), np.full((count, 1), 127, np.int8)
    assert op.evaluate(a, b).item() < 0
    assert op.evaluate(a[:, :-1], b[:-1]).item() > 0


@pytest.mark.parametrize(
    ("a", "b", "multiplier", "shift", "why"),
    [
        ((5, 7), (5, 7), 2**30, 0, "do not fit"),
        ((7,), (7, 3), 2**30, 0, "do not fit"),
        ((2, 5, 7), (3, 7, 5), 2**30, 0, "cannot broadcast"),
        ((5, 7), (7, 5), 2**30, 32, "shift must be in 0..31"),
        ((5, 7), (7, 5), 2**31, 0, "multiplier must be in"),
    ],
)
def test_what_does_not_fit_is_refused(
    a: Shape, b: Shape, multiplier: int, shift: int, why: str
) -> None:
    op = Int8MatMul(name="y", out_scale=1.0, multiplier=multiplier, shift=shift)
    with pytest.raises(ModelError, match=why):
        op.infer([TensorType(shape, DType.INT8, 1.0) for shape in (a, b)])
