"""Whole calibrations of small graphs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from cvi.calibrate.calibrate import calibrate, float_layers
from cvi.calibrate.table import CalibrationTable
from cvi.errors import CviError, InputError
from cvi.execute import NumpySession
from cvi.ir import Array, Graph, Input, TensorType
from cvi.ops import Neg, Relu


def small_graph() -> Graph:
    graph = Graph("g")
    graph.add(Input(name="x", type=TensorType((1, 1000))))
    graph.add(Neg(name="neg", inputs=("x",)))
    graph.add(Relu(name="relu", inputs=("neg",)))
    graph.outputs = ("relu",)
    return graph


def some_samples(count: int = 4) -> list[dict[str, Array]]:
    rng = np.random.default_rng(5)
    return [{"x": rng.normal(0.5, 1, (1, 1000)).astype(np.float32)} for _ in range(count)]


def test_every_layer_gets_its_range_and_threshold() -> None:
    samples = some_samples()
    table = calibrate(small_graph(), iter(samples))
    every = np.concatenate([sample["x"].ravel() for sample in samples])
    assert list(table) == ["x", "neg", "relu"]
    assert (table.bins, table.samples) == (2048, 4)
    assert table.entries["x"].max == pytest.approx(every.max(), abs=1e-7)
    assert table.entries["neg"].max == pytest.approx(-every.min(), abs=1e-7)
    assert table.entries["relu"].min == 0
    assert table.threshold("x") == table.threshold("neg")
    step = np.abs(every).max() / 2047 * 128
    assert table.threshold("x") / step == pytest.approx(round(table.threshold("x") / step))


def test_the_table_in_memory_is_the_table_in_the_file() -> None:
    table = calibrate(small_graph(), some_samples())
    assert CalibrationTable.parse(table.text()).entries == table.entries


def test_method_max_clips_nothing() -> None:
    samples = some_samples()
    table = calibrate(small_graph(), samples, method="max")
    every = np.abs(np.concatenate([sample["x"] for sample in samples]))
    assert table.threshold("x") == pytest.approx(every.max(), abs=1e-7)


def test_an_executor_gives_the_same_table() -> None:
    graph, samples = small_graph(), some_samples()
    session = NumpySession(graph, ("neg", "relu"))
    assert calibrate(graph, samples, executor=session) == calibrate(graph, samples)


def test_progress_is_told_after_every_sample() -> None:
    seen: list[int] = []
    calibrate(small_graph(), some_samples(3), progress=seen.append)
    assert seen == [1, 2, 3]


def test_a_layer_that_is_always_zero_gets_a_warning() -> None:
    samples = [{"x": np.full((1, 1000), 2, np.float32)}]
    with pytest.warns(UserWarning, match="'relu' is zero"):
        table = calibrate(small_graph(), samples)
    entry = table.entries["relu"]
    assert (entry.threshold, entry.min, entry.max) == (1e-5, -1e-5, 1e-5)


def test_integer_layers_are_left_out() -> None:
    from cvi.ir import DType

    graph = small_graph()
    graph.add(Input(name="i", type=TensorType((1, 4), DType.INT32)))
    assert float_layers(graph) == ["x", "neg", "relu"]


def test_errors_of_the_user() -> None:
    with pytest.raises(InputError, match="no samples"):
        calibrate(small_graph(), [])
    with pytest.raises(InputError, match="did you mean kld"):
        calibrate(small_graph(), some_samples(), method="kdl")
    with pytest.raises(InputError, match="bins"):
        calibrate(small_graph(), some_samples(), bins=1000)


def test_an_executor_that_forgets_a_layer_is_named() -> None:
    class Forgetful:
        def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
            return {"neg": -inputs["x"]}

    with pytest.raises(CviError) as caught:
        calibrate(small_graph(), some_samples(), executor=Forgetful())
    assert caught.value.where == "relu"
