"""The order of layers for BF16, with losses whose best order is known."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pytest

from cvi.ir import Graph, Input, TensorType
from cvi.ops import Add, Concat, MaxPool2d, Sigmoid
from cvi.search.order import ordered
from cvi.search.sensitivity import Loss


def _chain(*names: str) -> Graph:
    graph = Graph("chain")
    graph.add(Input(name="x", type=TensorType((1, 2, 2, 2))))
    for name in names:
        graph.add(Sigmoid(name=name, inputs=(graph.ops[-1].name,)))
    graph.outputs = (names[-1],)
    return graph


def _losses(own: dict[str, float], rounding: dict[str, float], graph: Graph) -> dict[str, Loss]:
    """Losses of layers alone, whose parts add up."""
    found = {}
    for op in graph:
        if op.name not in rounding:
            continue
        alone = None
        if op.name in own:
            sources = {name for name in op.inputs if name in rounding} | {op.name}
            alone = own[op.name] + sum(rounding[name] for name in sources)
        found[op.name] = Loss(op.name, alone, rounding[op.name])
    return found


def test_layers_that_lose_on_their_own_come_first() -> None:
    graph = _chain("a", "b", "c", "d")
    losses = _losses({"a": 1, "b": 7, "c": 3, "d": 3}, dict.fromkeys("xabcd", 0.0), graph)
    assert ordered(graph, losses) == pytest.approx({"b": 7, "c": 3, "d": 3, "a": 1})
    assert list(ordered(graph, losses)) == ["b", "c", "d", "a"]


def test_tensors_are_rounded_until_both_ends_are_in_bf16() -> None:
    graph = _chain("a", "b", "c", "d")
    rounding = {"x": 0.0, "a": 0.0, "b": 10.0, "c": 0.0, "d": 0.0}
    losses = _losses({"a": 3, "b": 1, "c": 1, "d": 4}, rounding, graph)
    assert set(list(ordered(graph, losses))[:2]) == {"b", "c"}  # alone each gains only 1


def test_what_only_moves_elements_joins_tensors() -> None:
    graph = Graph("net")
    graph.add(Input(name="x", type=TensorType((1, 2, 2, 2))))
    for name in "ab":
        graph.add(Sigmoid(name=name, inputs=("x",)))
    graph.add(Concat(name="cat", inputs=("a", "b")))
    graph.add(Sigmoid(name="c", inputs=("cat",)))
    graph.outputs = ("c",)
    losses = {
        "x": Loss("x", None, 0.0), "a": Loss("a", 6.0, 5.0), "b": Loss("b", 2.0, 1.0),
        "c": Loss("c", 6.5, 0.0),
    }  # fmt: skip
    assert ordered(graph, losses) == pytest.approx({"a": 1.0, "c": 5.5, "b": 2.0})


def test_gains_add_up_and_a_layer_that_gains_nothing_is_last() -> None:
    graph = Graph("net")
    graph.add(Input(name="x", type=TensorType((1, 2, 2, 2))))
    graph.add(Sigmoid(name="a", inputs=("x",)))
    graph.add(Sigmoid(name="b", inputs=("x",)))
    graph.add(Add(name="c", inputs=("a", "b")))
    graph.outputs = ("c",)
    rounding = {"x": 1.0, "a": 2.0, "b": 3.0, "c": 4.0}
    losses = _losses({"a": 0, "b": 0.5, "c": 0}, rounding, graph)
    assert sum(ordered(graph, losses).values()) == pytest.approx(10.5)
    silent = _losses(dict.fromkeys("abc", 0.0), {"x": 0.0, "a": 0.0, "b": 9.0, "c": 0.0}, graph)
    assert list(ordered(graph, silent))[-1] == "a"


def test_near_the_best_choice_of_so_many_layers() -> None:
    random = np.random.default_rng(11)
    names = tuple("abcdefgh")
    graph, reached, best = _chain(*names), 0.0, 0.0
    for _ in range(20):
        own = dict(zip(names, random.gamma(0.5, 1.0, 8).tolist(), strict=True))
        rounding = dict(zip(("x", *names), random.gamma(0.5, 1.0, 9).tolist(), strict=True))

        order = list(ordered(graph, _losses(own, rounding, graph)))
        reached += _left(graph, own, rounding, order[:4])
        best += min(_left(graph, own, rounding, four) for four in combinations(names, 4))
    assert best <= reached < 1.1 * best


def _left(
    graph: Graph, own: dict[str, float], rounding: dict[str, float], bf16: Sequence[str]
) -> float:
    """The loss with these layers in BF16."""
    int8 = [name for name in own if name not in bf16]
    tensors = {tensor for name in int8 for tensor in (name, *graph[name].inputs)}
    return sum(own[name] for name in int8) + sum(rounding[tensor] for tensor in tensors)


def test_what_follows_its_neighbours_is_no_layer_of_the_order() -> None:
    graph = _chain("a", "b")
    graph.add(MaxPool2d(name="pool", inputs=("b",), kernel=(2, 2)))
    graph.add(Sigmoid(name="c", inputs=("pool",)))
    graph.outputs = ("c",)
    losses = {
        "x": Loss("x", None, 0.0), "a": Loss("a", 4.0, 1.0), "b": Loss("b", 12.0, 11.0),
        "c": Loss("c", 12.0, 0.0),
    }  # fmt: skip
    assert ordered(graph, losses) == pytest.approx({"c": 1.0, "b": 11.0, "a": 4.0})
    assert list(ordered(graph, losses)) == ["c", "b", "a"]
