"""Building small graphs and looking at them as text, before and after passes."""

from __future__ import annotations

from textwrap import dedent
from typing import Any

import numpy as np

from cvi.execute import evaluate
from cvi.ir import Array, Graph, Input, Op, TensorType
from cvi.ir.text import to_text
from cvi.passes import simplify


class Builder:
    """A graph under construction; every op gets `source` = its name + ":0"."""

    def __init__(self, seed: int = 0) -> None:
        self.graph = Graph("g")
        self.rng = np.random.default_rng(seed)

    def input(self, *shape: int, name: str = "x") -> str:
        return self.graph.add(Input(name=name, type=TensorType(shape), source=name)).name

    def const(self, values: Any, name: str = "k") -> str:
        return self.graph.constant(name, np.asarray(values, np.float32))

    def random(self, *shape: int, name: str = "w") -> str:
        return self.const(self.rng.standard_normal(shape), name)

    def op(self, kind: type[Op], name: str, *inputs: str, **attributes: Any) -> str:
        op = kind(name=name, inputs=inputs, source=f"{name}:0", **attributes)
        return self.graph.add(op).name

    def done(self, *outputs: str) -> Graph:
        self.graph.outputs = outputs
        return self.graph


def picture(graph: Graph) -> str:
    """The ops of a graph as text, without constants."""
    lines = to_text(graph).splitlines()[1:]
    return "\n".join(line.strip() for line in lines if not line.startswith("  @"))


def random_inputs(graph: Graph, seed: int = 0) -> dict[str, Array]:
    rng = np.random.default_rng(seed)
    return {op.name: rng.standard_normal(op.type.shape, np.float32) for op in graph.inputs}


def assert_same_values(before: Graph, after: Graph, tolerance: float = 1e-5) -> None:
    """Both graphs give the same values for every layer name and source they share."""
    inputs = random_inputs(before)
    old = evaluate(before, inputs, keep=True)
    new = evaluate(after, inputs, keep=True)
    assert before.outputs == after.outputs
    sources = {op.source: op.name for op in before.ops if op.source}
    for op in after.ops:
        twin = op.name if op.name in old else None
        if op.source:
            assert twin is None or sources[op.source] == twin
            twin = sources[op.source]
        if twin is not None:
            scale = np.abs(old[twin]).max(initial=1e-3)
            np.testing.assert_allclose(
                new[op.name], old[twin], rtol=tolerance, atol=tolerance * scale
            )


def becomes(graph: Graph, expected: str) -> Graph:
    """Simplify, compare with a picture, and check all values."""
    before = picture(graph)
    after = simplify(graph)
    assert picture(graph) == before, "a pass changed its argument"
    assert picture(after) == dedent(expected).strip()
    after.check()
    assert_same_values(graph, after)
    assert simplify(after) is after
    return after


def stays(graph: Graph) -> None:
    """Simplify leaves the graph alone."""
    assert picture(simplify(graph)) == picture(graph)
