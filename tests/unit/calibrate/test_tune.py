"""The choice among thresholds against a literal trial of each in the whole network."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cvi import plugins
from cvi.calibrate.calibrate import _Telling, calibrate, last_tensors
from cvi.calibrate.histogram import Histograms
from cvi.calibrate.table import Threshold
from cvi.calibrate.tune import Trials, _Tensor, rounded, tuned
from cvi.execute import evaluate
from cvi.ir import Array, Graph, Input, TensorType
from cvi.ops import Add, Concat, Conv2d, Permute, Reshape, Softmax
from cvi.walk import Walk


def _net() -> Graph:
    """In every tensor but the result channel 0 is the largest and matters least."""
    random = np.random.default_rng(0)
    w, v, t = (random.standard_normal((4, 4, 1, 1)).astype(np.float32) for _ in range(3))
    for weight, large, small in ((w, 5, 0.05), (v, 8, 0.02), (t, 1, 0.03)):
        weight[0] *= large
        weight[:, 0] *= small
    graph = Graph("net")
    graph.constants = {"w": w, "v": v, "t": t}
    graph.add(Input(name="x", type=TensorType((1, 4, 6, 6))))
    graph.add(Conv2d(name="a", inputs=("x", "w", ""), relu=True))
    graph.add(Conv2d(name="b", inputs=("a", "v", "")))
    graph.add(Add(name="s", inputs=("a", "b")))
    graph.add(Conv2d(name="y", inputs=("s", "t", "")))
    graph.outputs = ("y",)
    return graph


def _images() -> list[dict[str, Array]]:
    random = np.random.default_rng(1)
    large = np.array([12, 1, 1, 1]).reshape(1, 4, 1, 1)
    return [{"x": (random.normal(size=(1, 4, 6, 6)) * large).astype(np.float32)} for _ in range(8)]


def _literal(graph: Graph, name: str, entry: Threshold) -> float:
    """The error of the outputs when this tensor alone is rounded, all else computed anew."""
    error = power = 0.0
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
        error += float(np.square(found - expected).sum())
        power += float(np.square(expected).sum())
    return error / power


@pytest.mark.parametrize("fast", [False, True])
def test_no_threshold_a_step_away_is_better(fast: bool) -> None:
    graph, executors = _net(), plugins.executors() if fast else []
    largest = calibrate(graph, _images(), method="max")
    chosen = tuned(graph, largest, _images(), executors=executors)
    picked, spent = set(), 0.0
    for name, entry in chosen.entries.items():
        full = largest.entries[name]
        errors = [
            _literal(graph, name, replace(full, threshold=full.threshold * 2 ** (-k / 4)))
            for k in range(12)
        ]
        best = round(-4 * np.log2(entry.threshold / full.threshold))
        assert entry.threshold == pytest.approx(full.threshold * 2 ** (-best / 4), rel=1e-4)
        negligible, spent = errors[0] <= spent / 4 / len(largest.entries), spent + errors[best]
        picked.add(best)
        if negligible:
            assert best == 0
            continue
        others = (k for k in (best - 2, best - 1, best + 2) if k >= 0)
        assert errors[best] <= min(errors[k] for k in others), (name, errors)
        assert errors[best] < 1.42 * errors[best + 1], (name, errors)  # may not have been tried
    assert len(picked) > 2, "the case is too easy"


def test_few_images_tell_no_fine_steps_apart() -> None:
    graph = _net()
    largest = calibrate(graph, _images(), method="max")
    chosen = tuned(graph, largest, _images()[:2])
    for name, entry in chosen.entries.items():
        steps = -4 * np.log2(entry.threshold / largest.entries[name].threshold)
        assert round(steps) % 2 == 0, name


def test_a_tensor_that_is_harmed_by_clipping_alone_keeps_its_maximum() -> None:
    graph = Graph("net", outputs=("y",))
    graph.add(Input(name="x", type=TensorType((1, 4))))
    graph.add(Add(name="y", inputs=("x", "x")))
    images = [{"x": np.array([[0.0, 1.0, 1.0, 1.0]], np.float32)}]
    largest = calibrate(graph, images, method="max")
    assert tuned(graph, largest, images).entries["x"] == largest.entries["x"]


def test_auto_tries_from_the_largest_values_on() -> None:
    graph = _net()
    largest = calibrate(graph, _images(), method="max")
    chosen = calibrate(graph, _images(), method="auto", trials=Trials(8, 8))
    expected = tuned(graph, largest, _images()).entries
    full = largest.entries["y"]
    expected["y"] = replace(full, threshold=1.2 * full.threshold).rounded()
    assert chosen.entries == expected
    assert chosen.means == largest.means


def test_joined_tensors_are_tried_and_moved_ones_take_their_operands() -> None:
    graph = _net()
    graph.constants["u"] = np.random.default_rng(2).random((3, 8, 1, 1)).astype(np.float32)
    graph.constants["u"][:, [0, 4]] *= 0.01
    graph.add(Concat(name="cat", inputs=("a", "b")))
    graph.add(Permute(name="turned", inputs=("cat",), order=(0, 1, 3, 2)))
    graph.add(Conv2d(name="z", inputs=("turned", "u", "")))
    graph.outputs = ("z",)
    largest = calibrate(graph, _images(), method="max")
    chosen = tuned(graph, largest, _images())
    assert chosen.entries["turned"].threshold == chosen.entries["cat"].threshold
    assert chosen.entries["cat"].threshold < largest.entries["cat"].threshold


def _spiked() -> tuple[Graph, list[dict[str, Array]]]:
    """A filter, and 60 images of which every tenth has large values, each in its own place."""
    random = np.random.default_rng(4)
    graph = Graph("net", outputs=("y",))
    graph.constants["w"] = random.standard_normal((5, 3, 1, 1)).astype(np.float32)
    graph.add(Input(name="x", type=TensorType((1, 3, 8, 8))))
    graph.add(Conv2d(name="y", inputs=("x", "w", "")))
    images = random.normal(size=(60, 1, 3, 8, 8)).astype(np.float32)
    images[::10, :, :, 3, 2:5] *= 6
    return graph, [{"x": image} for image in images]


@pytest.mark.parametrize("each", [2, 4])
def test_a_few_images_and_the_histogram_tell_the_harm_to_all(each: int) -> None:
    """Those with the largest values alone show five times as much."""
    graph, images = _spiked()
    histograms = Histograms(2048)
    for image in images:
        histograms.add(image)
    largest = calibrate(graph, images, method="max").entries["x"]
    walk = Walk(graph, images)
    op = next(iter(walk))
    estimated = _Tensor(op, walk, each, largest, histograms.layers["x"], len(images))
    alone = _Tensor(op, walk, each, largest, None, each)
    everything = _Tensor(op, walk, len(images), largest, None, len(images))
    for k in range(2, 12, 2):
        harm, found, shown = (t.harm(k) / t.harm(0) for t in (everything, estimated, alone))
        assert 0.6 < found / harm < 1.7, k
        if k >= 6:
            assert shown > 4 * harm, k


def test_the_images_with_the_largest_values_of_a_tensor_are_tried() -> None:
    graph, images = _spiked()
    largest = calibrate(graph, images, method="max")
    few = [*images[1:10], images[20]]
    spiked = tuned(graph, largest, few, each=1).entries["x"]
    assert spiked == tuned(graph, largest, [images[20]]).entries["x"]
    assert spiked != tuned(graph, largest, [images[1]]).entries["x"]


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
