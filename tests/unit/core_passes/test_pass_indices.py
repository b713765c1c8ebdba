"""Inputs that are indices become whole numbers."""

from __future__ import annotations

import numpy as np
import pytest
from pictures import Builder, picture

from cvi.execute import evaluate
from cvi.ops import Add, Concat, Embedding, Relu, Reshape, Slice
from cvi.passes import simplify


def test_indices_and_what_moves_them() -> None:
    b = Builder()
    i = b.input(2, 3, name="i")
    part = b.op(Slice, "s", i, starts=(0, 1), sizes=(2, 2), steps=(1, 1))
    flat = b.op(Reshape, "r", part, shape=(4,))
    both = b.op(Concat, "c", flat, flat, axis=0)
    table = b.random(9, 5)
    one, other = b.op(Embedding, "e", both, table), b.op(Embedding, "f", i, table)
    graph = b.done(one, other)
    after = simplify(graph)
    assert picture(after).splitlines()[:5] == [
        "%i : int32[2x3] = Input()",
        "%s : int32[2x2] = Slice(%i) {starts=(0, 1), sizes=(2, 2), steps=(1, 1)}",
        "%r : int32[4] = Reshape(%s) {shape=(4,)}",
        "%c : int32[8] = Concat(%r, %r) {axis=0}",
        "%e : fp32[8x5] = Embedding(%c, @w)",
    ]
    values = np.array([[0, 8, 2], [5, 7, 1]])
    old = evaluate(graph, {"i": values.astype(np.float32)})
    new = evaluate(after, {"i": values.astype(np.int32)})
    for name in "ef":
        np.testing.assert_array_equal(new[name], old[name])
    assert simplify(after) is after


def others(b: Builder) -> dict[str, tuple[str, ...]]:
    """Outputs of networks in which the input must stay as it is."""
    i = b.input(2, 3, name="i")
    e = b.op(Embedding, "e", i, b.random(9, 5))
    moved = b.op(Reshape, "r", i, shape=(6,))
    rows = b.op(Embedding, "g", moved, b.random(9, 2))
    return {
        "read by another op": (e, b.op(Relu, "y", i)),
        "moved to another op": (e, rows, b.op(Relu, "z", moved)),
        "an output": (e, rows, moved),
        "the table too": (b.op(Embedding, "t", i, i),),
        "joined with a constant": (
            b.op(Embedding, "k", b.op(Concat, "c", i, b.random(1, 3), axis=0), b.random(9, 5)),
        ),
        "computed": (b.op(Embedding, "l", b.op(Add, "a", i, i), b.random(9, 5)),),
        "not read": (b.op(Relu, "u", b.input(4, name="v")),),
    }


@pytest.mark.parametrize("case", list(others(Builder())))
def test_other_inputs_stay(case: str) -> None:
    b = Builder()
    outputs = others(b)[case]
    b.done(*outputs)
    from cvi.passes.integer_indices import IntegerIndices

    needed = simplify(b.graph)
    assert {op.type.dtype.value for op in needed.inputs} == {"fp32"}
    assert IntegerIndices().apply(needed) is needed
