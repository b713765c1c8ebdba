"""Pools over whole images that are more than an instruction or a lane takes."""

from __future__ import annotations

import numpy as np
import pytest
from small_nets import BareChip, calibrated, network

from cvi import ops
from cvi.execute import evaluate
from cvi.flow.real import quantised_inputs, real_values
from cvi.ir import Array
from cvi_tpu.quantized.scheme import Bf16Scheme, Int8Scheme, TpuScheme

SCHEMES = (Int8Scheme(), Bf16Scheme())


def pooled(op: ops.AvgPool2d | ops.MaxPool2d, x: Array, scheme: TpuScheme) -> tuple[Array, Array]:
    """What the quantised graph makes of an image, and the float op."""
    graph = network(op, inputs={"x": x.shape})
    table = calibrated(graph, {"x": x})
    quantised = scheme.quantize(graph, table, None, BareChip())
    feeds = quantised_inputs(quantised, {"x": x})
    values = evaluate(quantised, feeds, keep=True)
    return real_values(quantised, {"y": values["y"]})["y"], op.evaluate(x)


def image(*shape: int) -> Array:
    return np.random.default_rng(1).normal(0.5, 1, shape).astype(np.float32)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("plane", [(1, 5000), (4099, 1), (1, 40013), (2, 5001)])
def test_largest_of_a_long_row(plane: tuple[int, int], scheme: TpuScheme) -> None:
    """In pieces; 4099 and 40013 are primes, whose last piece is filled with what never wins."""
    x = image(1, 3, *plane) - 9
    y, want = pooled(ops.MaxPool2d(name="y", inputs=("x",), kernel=plane), x, scheme)
    assert np.abs(y - want).max() < 0.06


@pytest.mark.parametrize("plane", [(112, 112), (1, 5000), (1, 40013), (4099, 1), (300, 200)])
@pytest.mark.parametrize("relu", [True, False])
def test_mean_of_a_large_image_in_bf16(plane: tuple[int, int], relu: bool) -> None:
    x = image(1, 3, *plane) * np.float32([1, -1, 3]).reshape(1, 3, 1, 1)
    op = ops.AvgPool2d(name="y", inputs=("x",), kernel=plane, relu=relu)
    y, want = pooled(op, x, Bf16Scheme())
    assert np.abs(y - want).max() < 0.01 and (y.min() == 0) == relu


def test_mean_of_a_long_row_in_int8_is_exact() -> None:
    x = image(1, 3, 1, 5000)
    y, want = pooled(ops.AvgPool2d(name="y", inputs=("x",), kernel=(1, 5000)), x, Int8Scheme())
    assert np.abs(y - want).max() < 0.004


@pytest.mark.parametrize(
    ("op", "shape", "scheme", "why"),
    [
        (ops.AvgPool2d(name="y", kernel=(1, 4099)), (1, 4099), Int8Scheme(), "without equal"),
        (ops.AvgPool2d(name="y", kernel=(1, 5000)), (1, 5001), Int8Scheme(), "without equal"),
        (ops.AvgPool2d(name="y", kernel=(1, 5000)), (1, 5001), Bf16Scheme(), "not the whole"),
        (ops.AvgPool2d(name="y", kernel=(100, 99)), (100, 100), Bf16Scheme(), "not the whole"),
        (ops.MaxPool2d(name="y", kernel=(1, 5000)), (1, 5001), Bf16Scheme(), "not the whole"),
        (
            ops.MaxPool2d(name="y", kernel=(1, 3), dilation=(1, 2100)),
            (1, 5001), Int8Scheme(), "more than 4063 rows or columns",
        ),
    ],
)  # fmt: skip
def test_other_long_windows_are_refused(
    op: ops.AvgPool2d | ops.MaxPool2d, shape: tuple[int, int], scheme: TpuScheme, why: str
) -> None:
    graph = network(op.with_(inputs=("x",)), inputs={"x": (1, 2, *shape)})
    problems = scheme.problems(graph, BareChip())
    assert problems and all(why in one for one in problems)
