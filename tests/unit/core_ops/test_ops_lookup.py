"""Positions and look-ups against onnxruntime."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto
from onnx_reference import assert_same, evaluate, run_node

from cvi.errors import InputError, ModelError
from cvi.ops import ArgMax, Embedding


@settings(max_examples=60, deadline=None)
@given(
    shape=st.lists(st.integers(1, 5), min_size=1, max_size=5), keepdims=st.booleans(),
    data=st.data(),
)  # fmt: skip
def test_argmax(shape, keepdims, data):
    axis = data.draw(st.integers(0, len(shape) - 1))
    x = np.random.default_rng(data.draw(st.integers(0, 99))).integers(-2, 2, shape)
    x = x.astype(np.float32)
    theirs = run_node("ArgMax", [x], result=TensorProto.INT64, axis=axis, keepdims=int(keepdims))
    assert_same(evaluate(ArgMax(name="y", axis=axis, keepdims=keepdims), x), theirs, 0)


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (2, 1, 2, 2)])
@pytest.mark.parametrize("kind", [np.float32, np.int64, np.int32, np.uint16])
def test_embedding(shape, kind):
    rng = np.random.default_rng(1)
    table = rng.standard_normal((7, 5), np.float32)
    indices = np.asarray(rng.integers(0, 7, shape))
    theirs = run_node("Gather", [table, indices], axis=0)
    assert_same(evaluate(Embedding(name="y"), indices.astype(kind), table), theirs, 0)


@pytest.mark.parametrize("index", [-1, 7, 1 << 20])
def test_an_index_outside_of_the_table(index):
    op, table = Embedding(name="y", inputs=("i", "t")), np.zeros((7, 5), np.float32)
    with pytest.raises(InputError, match=f"index {index} is outside of a table of 7 rows"):
        op.evaluate(np.array([3, index]), table)


X = np.zeros((2, 3, 4), np.float32)


@pytest.mark.parametrize(
    ("op", "operands", "why"),
    [
        (ArgMax(name="y", axis=3), (X,), "axis 3 does not fit"),
        (ArgMax(name="y", axis=-1), (X,), "axis -1 does not fit"),
        (ArgMax(name="y", axis=0), (X.astype(np.int8),), "computes on fp32"),
        (ArgMax(name="y", axis=0), (np.zeros((0, 2), np.float32),), "no largest of 0"),
        (Embedding(name="y"), (X, X), "needs a tensor of 2 dimensions"),
        (Embedding(name="y"), (X.astype(np.int8), X[0]), "looks up at whole numbers"),
        (Embedding(name="y"), (X, X[0].astype(np.int32)), "computes on fp32"),
    ],
)
def test_what_does_not_fit(op, operands, why):
    with pytest.raises(ModelError, match=why):
        evaluate(op, *operands)
