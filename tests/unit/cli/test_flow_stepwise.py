"""Comparing models of integers layer by layer along a framework's tensors."""

from __future__ import annotations

import numpy as np

from cvi.calibrate.table import Threshold
from cvi.flow.stepwise import on_grid, stepwise_values, up_to_rounding
from cvi.ir import Graph, Input, TensorType
from cvi.ops import Add, Relu

STEP = Threshold(25.5, 0.0, 25.5)
"""256 values from 0 to 25.5 in steps of 0.1."""


def network() -> Graph:
    graph = Graph("g", outputs=("b",))
    graph.add(Input(name="x", type=TensorType((3,))))
    graph.add(Relu(name="a", inputs=("x",)))
    graph.add(Add(name="b", inputs=("a", "a")))
    graph.thresholds = {"a": STEP, "b": STEP}
    return graph


def array(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def test_values_are_rounded_and_saturated() -> None:
    values = on_grid(array(-3, 0.04, 0.06, 9.99, 30), STEP)
    np.testing.assert_allclose(values, [0, 0, 0.1, 10, 25.5], atol=1e-5)
    np.testing.assert_array_equal(on_grid(array(1.23), Threshold(1, 0, 0)), array(1.23))


def test_every_layer_reads_the_frameworks_operands() -> None:
    x = array(1.04, -2, 20)
    shown = {"a": array(1.1, 0, 20)}
    values = stepwise_values(network(), {"x": x}, shown)
    np.testing.assert_allclose(values["a"], [1.0, 0, 20], atol=1e-5)
    np.testing.assert_allclose(values["b"], [2.2, 0, 25.5], atol=1e-5)


def test_a_step_of_rounding_is_no_difference_and_more_is_one() -> None:
    computed = {"a": array(1.0, 2.0, 3.0), "b": array(1.0, 2.0, 3.0), "x": array(0, 0, 0)}
    shown = {"a": array(1.1, 1.9, 3.0), "b": array(1.2, 1.9, 3.0)}
    values = up_to_rounding(network(), computed, shown)
    np.testing.assert_array_equal(values["a"], shown["a"])
    np.testing.assert_allclose(values["b"], [1.0, 1.9, 3.0], atol=1e-6)
    assert set(values) == {"a", "b"}


def test_without_a_grid_nothing_is_forgiven() -> None:
    graph = network()
    graph.thresholds = {}
    values = up_to_rounding(graph, {"a": array(1, 2, 3)}, {"a": array(1, 2, 3.001)})
    np.testing.assert_array_equal(values["a"], array(1, 2, 3))
