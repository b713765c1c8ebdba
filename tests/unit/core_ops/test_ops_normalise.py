"""Normalisation, masks of pools and weighted sums, against onnxruntime or by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx_reference import assert_same, evaluate, run_node

from cvi.errors import ModelError
from cvi.ops import Add, InstanceNorm, Lrn, MaxPool2d, Normalize, PoolMask, SquarePower
from cvi.ops.normalise import window_of

RNG = np.random.default_rng(8)
X = RNG.standard_normal((2, 7, 4, 5), np.float32)


@pytest.mark.parametrize("size", [1, 3, 5, 7, 15])
@pytest.mark.parametrize("k", [1.0, 2.5])
def test_lrn(size, k):
    theirs = run_node("LRN", [X], size=size, alpha=0.9, beta=0.6, bias=k)
    assert_same(evaluate(Lrn(name="y", size=size, alpha=0.9, beta=0.6, k=k), X), theirs)


def test_an_even_window_has_one_channel_more_behind():
    """floor((size - 1) / 2) before, ceil((size - 1) / 2) behind (ONNX, LRN)."""
    x = np.array([1, 10, 100, 1000], np.float32).reshape(1, 4)
    y = evaluate(SquarePower(name="y", exponent=1.0, size=2), x)
    assert y.ravel().tolist() == [101, 10100, 1010000, 1000000]
    assert window_of(4, 4).tolist() == [[1, 1, 1, 0], [1, 1, 1, 1], [0, 1, 1, 1], [0, 0, 1, 1]]


@pytest.mark.parametrize("shape", [(2, 7), (2, 7, 4), (2, 7, 4, 5)])
@pytest.mark.parametrize("size", [0, 3, 4, 20])
def test_square_powers(shape, size):
    x = RNG.standard_normal(shape, np.float32)
    op = SquarePower(name="y", exponent=-0.5, size=size, scale=0.3, shift=1.5)
    sums = np.tensordot(np.square(x), window_of(size, 7), axes=(1, 1))
    assert_same(evaluate(op, x), np.moveaxis((0.3 * sums + 1.5) ** -0.5, -1, 1))


@pytest.mark.parametrize("shape", [(3, 6), (3, 6, 4), (3, 6, 4, 5)])
def test_normalize(shape):
    x = RNG.standard_normal(shape, np.float32)
    scale = RNG.standard_normal(6, np.float32)
    spread = scale.reshape(-1, *(1,) * (len(shape) - 2))
    theirs = run_node("LpNormalization", [x], axis=1, p=2) * spread
    assert_same(evaluate(Normalize(name="y"), x, scale), theirs)
    rows = run_node("LpNormalization", [x.reshape(3, -1)], axis=1, p=2).reshape(shape) * spread
    assert_same(evaluate(Normalize(name="y", across_spatial=True), x, scale), rows)


def test_normalize_of_nothing_is_nothing():
    zeros, ones = np.zeros((1, 3, 2, 2), np.float32), np.ones(3, np.float32)
    assert not evaluate(Normalize(name="y"), zeros, ones).any()


@pytest.mark.parametrize("shape", [(3, 6, 4), (3, 6, 4, 5)])
def test_instance_norm(shape):
    x = RNG.standard_normal(shape, np.float32) * 3 + 1
    gamma, beta = (RNG.standard_normal(6, np.float32) for _ in range(2))
    theirs = run_node("InstanceNormalization", [x, gamma, beta], epsilon=0.02)
    assert_same(evaluate(InstanceNorm(name="y", eps=0.02), x, gamma, beta), theirs)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31), h=st.integers(1, 9), w=st.integers(1, 9),
    size=st.tuples(st.integers(1, 4), st.integers(1, 4)), dtype=st.sampled_from(["f4", "i1"]),
)  # fmt: skip
def test_pool_mask(seed, h, w, size, dtype):
    """By hand, pixel by pixel: the first of the largest in row-major order, as in Caffe."""
    x = np.random.default_rng(seed).integers(-2, 2, (2, 2, h, w)).astype(dtype)
    want = np.zeros_like(x)
    for n, c, top, left in np.ndindex(2, 2, -(-h // size[0]), -(-w // size[1])):
        rows = range(top * size[0], min((top + 1) * size[0], h))
        columns = range(left * size[1], min((left + 1) * size[1], w))
        best = max(((i, j) for i in rows for j in columns), key=lambda at: x[(n, c, *at)])
        want[(n, c, *best)] = 1
    op = PoolMask(name="y", size=size)
    assert np.array_equal(evaluate(op, x) if dtype == "f4" else op.evaluate(x), want)


def test_a_mask_keeps_the_maxima():
    lower, right = 1, 0
    pool = MaxPool2d(name="p", kernel=(2, 5), stride=(2, 5), pads=(0, 0, lower, right))
    x = np.abs(X[:, :, :3])
    masked = x * evaluate(PoolMask(name="m", size=(2, 5)), x)
    assert np.array_equal(evaluate(pool, masked), evaluate(pool, x))


@pytest.mark.parametrize("relu", [False, True])
def test_weighted_sums(relu):
    other = RNG.standard_normal((5,), np.float32)
    op = Add(name="y", coefficients=(0.5, -2.0, 1.0), relu=relu)
    want = 0.5 * X - 2 * other + X
    assert_same(evaluate(op, X, other, X), np.maximum(want, 0) if relu else want)


@pytest.mark.parametrize(
    ("op", "inputs", "why"),
    [
        (Lrn(name="r", size=0, alpha=1.0, beta=1.0), (X,), "size must be positive"),
        (Lrn(name="r", size=3, alpha=0.0, beta=1.0), (X,), "alpha must be positive"),
        (Lrn(name="r", size=3, alpha=1.0, beta=1.0, k=-1.0), (X,), "k must not be negative"),
        (Lrn(name="r", size=3, alpha=1.0, beta=1.0), (X[0, 0, 0],), "needs channels"),
        (SquarePower(name="r", exponent=1.0, size=-1), (X,), "size must not be negative"),
        (SquarePower(name="r", exponent=1.0, scale=0.0), (X,), "scale must be positive"),
        (SquarePower(name="r", exponent=1.0, shift=-1.0), (X,), "shift must not be negative"),
        (Normalize(name="r"), (X, X[0, :3, 0, 0]), "does not fit"),
        (InstanceNorm(name="r"), (X[:, :, 0, 0], *[X[0, :, 0, 0]] * 2), "and pixels"),
        (InstanceNorm(name="r"), (X, *[X[0, :3, 0, 0]] * 2), "does not fit"),
        (PoolMask(name="r", size=(0, 1)), (X,), "size must be positive"),
        (PoolMask(name="r", size=(1, 1)), (X[0],), "4 dimensions"),
        (Add(name="r", coefficients=(1.0,)), (X, X), "1 coefficients for 2 operands"),
    ],
)
def test_operands_that_do_not_fit(op, inputs, why):
    with pytest.raises(ModelError, match=why):
        evaluate(op, *inputs)
