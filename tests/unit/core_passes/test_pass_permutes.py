"""Permutes before and behind fully connected layers."""

from __future__ import annotations

import numpy as np
import pytest
from pictures import Builder, assert_same_values, becomes

from cvi.calibrate.table import Threshold
from cvi.ir import Graph
from cvi.ops import Conv2d, FullyConnected, LeakyRelu, Permute, Relu, Reshape, Tanh
from cvi.passes import simplify


def kinds(graph: Graph) -> list[str]:
    return [op.kind for op in graph.ops]


def flattened(b: Builder, n: int) -> str:
    """A dense layer on [n, h, w, c] of an image [n, c, h, w]."""
    x = b.input(n, 4, 2, 3)
    turned = b.op(Permute, "p", x, order=(0, 2, 3, 1))
    return b.op(Reshape, "flat", turned, shape=(n, 24))


@pytest.mark.parametrize("n", [1, 3])
def test_flattened_permute_goes_into_the_columns(n: int) -> None:
    b = Builder()
    flat = flattened(b, n)
    graph = b.done(b.op(FullyConnected, "y", flat, b.random(5, 24), b.random(5)))
    after = becomes(
        graph,
        f"""
        %x : fp32[{n}x4x2x3] = Input()
        %flat_moved : fp32[{n}x24] = Reshape(%x) {{shape=({n}, 24)}}
        %y : fp32[{n}x5] = FullyConnected(%flat_moved, @y_weight, @w_1)
        return %y
        """,
    )
    assert [op.source for op in after.ops] == ["x", "", "y:0"]


def test_functions_may_stand_between() -> None:
    b = Builder()
    active = b.op(Tanh, "t", b.op(LeakyRelu, "l", flattened(b, 2)))
    graph = b.done(b.op(FullyConnected, "y", active, b.random(5, 24)))
    after = simplify(graph)
    assert kinds(after) == ["Input", "Reshape", "LeakyRelu", "Tanh", "FullyConnected"]
    assert_same_values(graph, after)


def test_permute_behind_goes_into_the_rows() -> None:
    b = Builder()
    y = b.op(FullyConnected, "y", b.input(2, 7), b.random(24, 7), b.random(24))
    folded = b.op(Reshape, "r", b.op(LeakyRelu, "l", y), shape=(2, 2, 3, 4))
    image = b.op(Permute, "p", folded, order=(0, 3, 1, 2))
    graph = b.done(b.op(Conv2d, "c", image, b.random(3, 4, 2, 2)))
    graph.thresholds = {"l": Threshold(2.0, -1.0, 2.0)}
    after = simplify(graph)
    assert kinds(after) == ["Input", "FullyConnected", "LeakyRelu", "Reshape", "Conv2d"]
    assert_same_values(graph, after)
    assert after.ops[3].source == "p:0"
    assert after.thresholds["l_moved"] == graph.thresholds["l"]


def blocked(kind: str) -> Graph:
    b = Builder()
    if kind == "read twice":
        flat = flattened(b, 2)
        return b.done(b.op(FullyConnected, "y", flat, b.random(5, 24)), b.op(Relu, "r", flat))
    if kind == "moves the batch":
        turned = b.op(Permute, "p", b.input(4, 2, 3), order=(1, 0, 2))
        flat = b.op(Reshape, "flat", turned, shape=(2, 12))
        return b.done(b.op(FullyConnected, "y", flat, b.random(5, 12)))
    if kind == "other rows":
        turned = b.op(Permute, "p", b.input(2, 4, 3), order=(0, 2, 1))
        flat = b.op(Reshape, "flat", turned, shape=(4, 6))
        return b.done(b.op(FullyConnected, "y", flat, b.random(5, 6)))
    turned = b.op(Permute, "p", b.input(2, 4, 3), order=(0, 2, 1))  # several rows each
    return b.done(b.op(FullyConnected, "y", turned, b.random(5, 4)))


@pytest.mark.parametrize("kind", ["read twice", "moves the batch", "other rows", "tokens"])
def test_permute_that_must_stay(kind: str) -> None:
    graph = blocked(kind)
    after = simplify(graph)
    assert "Permute" in kinds(after)
    assert_same_values(graph, after)


def test_weights_of_one_row_take_any_permute() -> None:
    b = Builder()
    turned = b.op(Permute, "p", b.input(4, 1, 3), order=(1, 2, 0))
    flat = b.op(Reshape, "flat", turned, shape=(1, 12))
    graph = b.done(b.op(FullyConnected, "y", flat, b.random(5, 12)))
    after = simplify(graph)
    assert kinds(after) == ["Input", "Reshape", "FullyConnected"]
    assert_same_values(graph, after)
    assert np.any(after.constants[after.ops[-1].inputs[1]])
