"""The choice among thresholds against a literal trial of each in the whole network."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cvi import plugins
from cvi.calibrate.calibrate import _Telling, calibrate, last_tensors
from cvi.calibrate.histogram import Histograms
from cvi.calibrate.table import CalibrationTable, Threshold
from cvi.calibrate.tune import rounded, tuned
from cvi.execute import evaluate
from cvi.ir import Array, Graph, Input, TensorType
from cvi.ops import Add, Concat, Conv2d, Permute, Reshape, Softmax

_FACTORS = (8.0, 1.0, 0.1)
"""Too coarse, right, and clipped too hard; in another order for every layer."""


def _net() -> Graph:
    random = np.random.default_rng(0)
    graph = Graph("net")
    graph.constants = {
        "v": random.standard_normal((4, 4, 1, 1)).astype(np.float32),
        "w": random.standard_t(2, (4, 4, 3, 3)).astype(np.float32),
    }
    graph.add(Input(name="x", type=TensorType((1, 4, 6, 6))))
    same = (1, 1, 1, 1)
    graph.add(Conv2d(name="a", inputs=("x", "w", ""), pads=same, relu=True))
    graph.add(Conv2d(name="b", inputs=("a", "v", "")))
    graph.add(Add(name="y", inputs=("a", "b")))
    graph.outputs = ("y",)
    return graph


def _images() -> list[dict[str, Array]]:
    random = np.random.default_rng(1)
    return [{"x": random.standard_t(2, (1, 4, 6, 6)).astype(np.float32)} for _ in range(3)]


def _tables(graph: Graph) -> list[CalibrationTable]:
    table = calibrate(graph, _images(), method="max")
    return [_scaled(table, 0), _scaled(table, 1), _scaled(table, 2), _scaled(table, 0, 1.01)]


def _scaled(table: CalibrationTable, first: int, more: float = 1.0) -> CalibrationTable:
    entries = {
        name: Threshold(entry.threshold * _FACTORS[(first + i) % 3] * more, entry.min, entry.max)
        for i, (name, entry) in enumerate(table.entries.items())
    }
    return replace(table, entries=entries)


def _literal(graph: Graph, name: str, entry: Threshold) -> float:
    """The error of the outputs when this tensor alone is rounded, all else computed anew."""
    errors = []
    for image in _images():
        values = evaluate(graph, image, keep=True)
        step = entry.threshold / (255 if entry.min >= 0 else 127)
        low, high = (0, 255) if entry.min >= 0 else (-128, 127)
        value = (np.clip(np.rint(values[name] / step), low, high) * step).astype(np.float32)
        if name == "x":
            found = evaluate(graph, {"x": value})["y"]
        else:
            ops = [op for op in graph.ops if op.name != name]
            fixed = Graph("", ops, ("y",), {**graph.constants, name: value})
            found = evaluate(fixed, image)["y"]
        expected = values["y"].astype(np.float64)
        errors.append(np.square(found - expected).sum() / np.square(expected).sum())
    return float(np.mean(errors))


@pytest.mark.parametrize("fast", [False, True])
def test_the_threshold_of_least_error_is_chosen(fast: bool) -> None:
    graph, executors = _net(), plugins.executors() if fast else []
    tables = _tables(graph)
    chosen = tuned(graph, tables, _images(), executors=executors)
    picked = set()
    for name, entry in chosen.entries.items():
        trials = [table.entries[name] for table in tables[:3]]  # the fourth is like the first
        errors = [_literal(graph, name, trial) for trial in trials]
        best = int(np.argmin(errors))
        assert entry == trials[best], (name, errors)
        picked.add(best)
    assert len(picked) > 1, "the case is too easy"


def test_calibration_with_auto_is_never_of_another_threshold() -> None:
    graph = _net()
    chosen = calibrate(graph, _images(), method="auto", tuned_on=2)
    every = [calibrate(graph, _images(), method=m) for m in ("kld", "max")]
    for name, entry in chosen.entries.items():
        if name != "y":
            known, largest = (table.entries[name].threshold for table in every)
            candidates = [known, largest, 0.7 * largest, 0.5 * largest]
            assert any(entry.threshold == pytest.approx(one, rel=1e-3) for one in candidates)
    largest = every[1].entries["y"].threshold
    assert chosen.entries["y"].threshold == pytest.approx(1.2 * largest, rel=1e-3)
    assert chosen.means == every[0].means


def test_joined_tensors_are_tried_and_moved_ones_take_their_operands() -> None:
    graph = _net()
    graph.constants["u"] = np.random.default_rng(2).random((3, 8, 1, 1)).astype(np.float32)
    graph.add(Concat(name="cat", inputs=("a", "b")))
    graph.add(Permute(name="turned", inputs=("cat",), order=(0, 1, 3, 2)))
    graph.add(Conv2d(name="z", inputs=("turned", "u", "")))
    graph.outputs = ("z",)
    tables = _tables(graph)
    chosen = tuned(graph, tables, _images())
    assert chosen.entries["turned"].threshold == chosen.entries["cat"].threshold
    assert chosen.entries["cat"] in [table.entries["cat"] for table in tables]
    assert chosen.entries["turned"].threshold != tables[0].entries["turned"].threshold


def test_outputs_have_room_where_they_are_moved_too() -> None:
    graph = _net()
    graph.add(Reshape(name="flat", inputs=("y",), shape=(1, 144)))
    graph.add(Softmax(name="p", inputs=("flat",), axis=1))
    graph.outputs = ("p",)
    assert last_tensors(graph) == ["flat", "y"]
    chosen = calibrate(graph, _images(), method="auto")
    largest = calibrate(graph, _images(), method="max")
    for name in ("flat", "y"):
        expected = 1.2 * largest.entries[name].threshold
        assert chosen.entries[name].threshold == pytest.approx(expected, rel=1e-3)


def test_samples_for_trials_hold_the_largest_values() -> None:
    few, seen = _Telling(4), Histograms(128)
    for i in range(100):
        tensors = {name: np.full(3, 1.0, np.float32) for name in "abc"}
        if i == 37:
            tensors["a"][1] = tensors["b"][0] = 9.0
        if i == 80:
            tensors["c"][2] = -7.0
        seen.add(tensors)
        few.add({"x": np.array([i])}, seen)
    kept = [int(sample["x"][0]) for sample in few.samples]
    assert len(kept) == 4 and {37, 80} < set(kept)
    assert kept == sorted(kept)


@pytest.mark.parametrize("count", [1, 2, 5, 16])
def test_so_many_samples_are_tried(count: int) -> None:
    few, seen, random = _Telling(count), Histograms(128), np.random.default_rng(3)
    for i in range(9):
        seen.add({name: random.random(4).astype(np.float32) for name in "ab"})
        few.add({"x": np.array([i])}, seen)
    assert len({int(sample["x"][0]) for sample in few.samples}) == min(count, 9)


def test_samples_are_drawn_with_equal_chances() -> None:
    few, seen = _Telling(40), Histograms(128)
    for i in range(400):
        seen.add({"a": np.zeros(1, np.float32)})
        few.add({"x": np.array([i])}, seen)
    kept = np.array([sample["x"][0] for sample in few.samples])
    assert [60 < np.percentile(kept, 25) < 160, 240 < np.percentile(kept, 75) < 340] == [True, True]


def test_rounding_by_hand() -> None:
    values = np.array([-2.0, -0.3, 0.0, 0.6, 1.0, 9.0], np.float32)
    assert rounded(values, Threshold(1.27, -2, 9)) == pytest.approx([-1.28, -0.3, 0, 0.6, 1, 1.27])
    assert rounded(values[2:], Threshold(2.55, 0, 9)) == pytest.approx([0, 0.6, 1.0, 2.55])
