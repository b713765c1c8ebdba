"""Running graphs by the meaning of their ops."""

from __future__ import annotations

import weakref

import numpy as np
import pytest
from graphs import int8_input, small_net

from cvi.errors import InputError, UnsupportedError
from cvi.execute import NumpySession, evaluate, float_session, run_float
from cvi.ir import Array, Graph, Input, TensorType
from cvi.ops import DetectionOutput, Relu, Reshape
from cvi.parts import behind, lists, part

DATA = {"data": np.random.default_rng(0).standard_normal((1, 3, 8, 8), np.float32)}


def by_hand(graph: Graph) -> dict[str, Array]:
    values: dict[str, Array] = {**graph.constants, **DATA}
    for op in graph.ops[1:]:
        values[op.name] = op.evaluate(*(values[n] if n else None for n in op.inputs))
    return values


def test_network_outputs_by_default():
    graph = small_net()
    expected = by_hand(graph)
    results = evaluate(graph, DATA)
    assert list(results) == ["fc", "pool"]
    assert all(np.array_equal(results[n], expected[n]) for n in results)


def test_any_layer_and_all_layers():
    graph = small_net()
    expected = by_hand(graph)
    some = evaluate(graph, DATA, outputs=["sum", "data", "w"])
    assert {n: a.shape for n, a in some.items()} == {
        "sum": (1, 4, 8, 8), "data": (1, 3, 8, 8), "w": (4, 3, 3, 3),
    }  # fmt: skip
    everything = evaluate(graph, DATA, keep=True)
    assert list(everything) == [op.name for op in graph.ops]
    assert all(np.array_equal(everything[n], expected[n]) for n in everything)


def test_only_what_is_asked_for_is_computed(monkeypatch):
    def forbidden(self, *inputs):
        raise AssertionError("computed without need")

    monkeypatch.setattr(Reshape, "evaluate", forbidden)
    assert list(evaluate(small_net(), DATA, outputs=["relu"])) == ["relu"]


def test_arrays_are_freed_when_nobody_needs_them(monkeypatch):
    graph = Graph("chain")
    graph.add(int8_input("x", (1000,), 1.0))
    for i in range(5):
        graph.add(Reshape(name=f"r{i}", inputs=(f"r{i - 1}" if i else "x",), shape=(1000,)))
    graph.outputs = ("r4",)
    alive: list[weakref.ref[Array]] = []
    counts = []

    def copying(self, x):
        counts.append(sum(ref() is not None for ref in alive))
        y = x.copy()
        alive.append(weakref.ref(y))
        return y

    monkeypatch.setattr(Reshape, "move", copying)
    evaluate(graph, {"x": np.zeros(1000, np.int8)})
    assert counts == [0, 1, 1, 1, 1]


def test_integer_graphs_run_too():
    graph = Graph("int8")
    graph.add(int8_input("x", (2, 3), 0.1))
    graph.add(Reshape(name="y", inputs=("x",), shape=(6,)))
    graph.outputs = ("y",)
    x = np.arange(6, dtype=np.int8).reshape(2, 3)
    assert evaluate(graph, {"x": x})["y"].tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("inputs", "outputs", "why"),
    [
        ({}, None, "an input of fp32.* is missing"),
        ({"dat": DATA["data"]}, None, "no such input .*did you mean data"),
        ({"data": DATA["data"][0]}, None, r"array is float32\[3x8x8\]"),
        ({"data": DATA["data"].astype(np.float64)}, None, "array is float64"),
        (DATA, ["pol"], "no such layer .*did you mean pool"),
    ],
)
def test_inputs_that_do_not_fit(inputs, outputs, why):
    with pytest.raises(InputError, match=why):
        evaluate(small_net(), inputs, outputs=outputs)
    with pytest.raises(InputError, match=why):
        run_float(small_net(), inputs, outputs)


def test_an_input_that_is_not_needed_may_be_missing():
    graph = small_net()
    graph.add(int8_input("extra", (2,), 1.0))
    assert "fc" in evaluate(graph, DATA)


class Refusing:
    name = "refusing"

    def session(self, graph, outputs):
        raise UnsupportedError("no")


class Doubling:
    name = "doubling"

    def session(self, graph, outputs):
        self.outputs = outputs
        return self

    def run(self, inputs):
        return {n: np.array([2.0]) for n in self.outputs}


def test_the_first_executor_that_can_runs_the_graph():
    assert run_float(small_net(), DATA, ["relu"], [Refusing(), Doubling()])["relu"].tolist() == [2]
    fallback = run_float(small_net(), DATA, executors=[Refusing()])
    assert np.array_equal(fallback["fc"], evaluate(small_net(), DATA)["fc"])
    session = float_session(small_net(), ["sum"])
    assert list(session.run(DATA)) == ["sum"]


def test_inputs_are_not_written_to():
    graph = Graph("relu")
    graph.add(small_net()["data"])
    graph.add(Relu(name="y", inputs=("data",)))
    before = DATA["data"].copy()
    evaluate(graph, DATA, outputs=["y"])
    assert np.array_equal(before, DATA["data"])


def boxes_net() -> Graph:
    """data -> conf -> boxes -> (behind, moved), and data -> aside."""
    graph = Graph("boxes")
    graph.add(Input(name="data", type=TensorType((1, 4))))
    graph.constants["loc"] = np.zeros((1, 8), np.float32)
    graph.constants["prior"] = np.float32([[[0, 0, 1, 1, 0.5, 0.5, 2, 2], [0.1] * 8]])
    graph.add(Relu(name="conf", inputs=("data",)))
    graph.add(
        DetectionOutput(
            name="boxes", inputs=("loc", "conf", "prior"), num_classes=2, nms_threshold=0.9,
            keep_top_k=2,
        )
    )  # fmt: skip
    graph.add(Reshape(name="behind", inputs=("boxes",), shape=(2, 7)))
    graph.add(Relu(name="aside", inputs=("data",)))
    graph.outputs = ("behind", "aside")
    return graph


class NoLists:
    """Knows all ops but those that give lists of boxes."""

    name = "nolists"
    graph: Graph

    def session(self, graph, outputs):
        if any(op.incomparable for op in graph):
            raise UnsupportedError("no")
        self.graph = graph
        return NumpySession(graph, tuple(outputs))


def test_an_executor_runs_what_comes_before_lists_of_boxes():
    graph, executor = boxes_net(), NoLists()
    inputs = {"data": np.float32([[0, 3, 0, 2]])}
    names = ["data", "conf", "boxes", "behind", "aside"]
    got = run_float(graph, inputs, names, [executor])
    assert [op.name for op in executor.graph] == ["data", "conf", "aside"]
    want = evaluate(graph, inputs, outputs=names)
    assert list(got) == names and all(np.array_equal(got[n], want[n]) for n in names)
    assert got["behind"][:, 2].tolist() == [3, 2]
    assert run_float(graph, inputs, ["aside"], [executor])["aside"].tolist() == [[0, 3, 0, 2]]


def test_parts_of_a_graph():
    graph = boxes_net()
    assert lists(graph) == ["boxes"]
    assert behind(graph, ["conf"]) == ["boxes", "behind"]
    assert behind(graph, ["loc"]) == ["boxes", "behind"]
    assert behind(graph, ["aside"]) == []
    tail = part(graph, {"boxes", "behind"})
    assert [op.name for op in tail] == ["conf", "boxes", "behind"]
    assert isinstance(tail["conf"], Input) and tail.type_of("boxes").shape == (1, 1, 2, 7)
