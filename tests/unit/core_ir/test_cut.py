"""Where to end a network."""

from __future__ import annotations

import numpy as np
import pytest

from cvi.cut import Step, advice, blamed, cut_before, proposal, rest_of
from cvi.execute import evaluate
from cvi.ir import Graph, Input, TensorType
from cvi.ops import Abs, Add, Neg, Relu


def step(text: str, *, bad: bool = False, named: bool = True) -> Step:
    """From "a b -> c"."""
    reads, _, gives = text.partition(" -> ")
    names = tuple(gives.split())
    return Step(tuple(reads.split()), names, names if named else ("",) * len(names), not bad)


@pytest.mark.parametrize(
    ("steps", "outputs", "expected"),
    [
        ([step("x -> a"), step("a -> b", bad=True)], ["b"], ["a"]),
        ([step("x -> a", bad=True), step("a -> b")], ["b"], []),
        ([step("x -> a"), step("a -> b"), step("b -> c", bad=True)], ["c", "a"], ["a", "b"]),
        ([step("x -> a"), step("a -> b", bad=True), step("b a -> c")], ["c"], ["a"]),
        ([step("x -> a"), step("x -> z"), step("a -> b", bad=True), step("b z -> c")], ["c"],
         ["a", "z"]),
        ([step("x -> a"), step("a -> b", named=False), step("b -> c", bad=True)], ["c"], ["a"]),
        ([step("x -> a b"), step("b -> c", bad=True)], ["c", "a"], ["a", "b"]),
    ],
    ids=["one", "first", "two outputs", "side path", "joined later", "nameless", "two results"],
)  # fmt: skip
def test_cut_before(steps: list[Step], outputs: list[str], expected: list[str]) -> None:
    assert cut_before(steps, outputs) == expected


def network() -> Graph:
    graph = Graph("net")
    graph.add(Input(name="x", type=TensorType((1, 3)), source="x"))
    graph.add(Abs(name="a (Abs)", inputs=("x",), source="a"))
    graph.add(Neg(name="b", inputs=("a (Abs)",), source="b"))
    graph.add(Add(name="c", inputs=("a (Abs)", "b"), source="c"))
    graph.add(Relu(name="d", inputs=("c",), source="d"))
    graph.outputs = ("d", "b")
    return graph


def test_problems_name_layers() -> None:
    lines = ["a (Abs) (Abs): no", "c (Add): no, see b (Neg): there", "other (X): no"]
    assert blamed(network(), lines) == {"a (Abs)", "c"}
    assert proposal(network(), lines[1:]) == ["a", "b"]
    assert proposal(network(), []) == proposal(network(), lines[:1]) == []
    assert advice(["a", "b"]).endswith("--outputs a,b")
    assert advice([]) == ""


def test_the_rest_continues_from_the_cut() -> None:
    graph = network()
    rest = rest_of(graph, {"a", "b"})
    assert [op.name for op in rest.inputs] == ["a (Abs)", "b"]
    assert rest.outputs == ("d",)
    x = np.array([[1, -2, 3]], np.float32)
    values = evaluate(graph, {"x": x}, keep=True)
    found = evaluate(rest, {name: values[name] for name in ("a (Abs)", "b")})
    assert np.array_equal(found["d"], values["d"])
    assert not rest_of(graph, {"d", "b"}).outputs
