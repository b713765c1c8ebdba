"""Convolutions and matrix products against onnxruntime."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from onnx_reference import assert_same, evaluate, run_node

from cvi.errors import ModelError
from cvi.ops import Conv2d, ConvTranspose2d, FullyConnected, MatMul
from cvi.ops import windows as windows_module

small = st.integers(1, 3)
pair = st.tuples(small, small)
pads = st.tuples(*[st.integers(0, 2)] * 4)
seeds = st.integers(0, 2**31)


@settings(max_examples=60, deadline=None)
@given(
    seed=seeds, n=st.integers(1, 2), group=small, icg=small, ocg=small, kernel=pair, stride=pair,
    pads=pads, dilation=pair, size=st.tuples(st.integers(5, 12), st.integers(5, 12)),
    bias=st.booleans(), relu=st.booleans(),
)  # fmt: skip
def test_conv2d(seed, n, group, icg, ocg, kernel, stride, pads, dilation, size, bias, relu):
    assume(all((k - 1) * d < s for k, d, s in zip(kernel, dilation, size, strict=True)))
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, group * icg, *size), np.float32)
    w = rng.standard_normal((group * ocg, icg, *kernel), np.float32)
    b = rng.standard_normal(group * ocg, np.float32) if bias else None
    op = Conv2d(name="y", stride=stride, pads=pads, dilation=dilation, group=group, relu=relu)
    theirs = run_node("Conv", [x, w, b], strides=stride, pads=pads, dilations=dilation, group=group)
    assert_same(evaluate(op, x, w, b), np.maximum(theirs, 0) if relu else theirs)


def test_conv2d_in_several_column_blocks(monkeypatch):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 4, 17, 9), np.float32)
    w = rng.standard_normal((6, 2, 3, 3), np.float32)
    op = Conv2d(name="y", stride=(2, 1), pads=(1, 1, 1, 1), group=2)
    whole = evaluate(op, x, w)
    monkeypatch.setattr(windows_module, "_COLUMN_BYTES", 4000)
    np.testing.assert_allclose(evaluate(op, x, w), whole, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("each", [1, 2])
def test_depthwise_conv2d_in_several_blocks(monkeypatch, each):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 7, 9, 8), np.float32)
    w = rng.standard_normal((7 * each, 1, 3, 2), np.float32)
    monkeypatch.setattr(windows_module, "_BLOCK_ELEMENTS", 3 * each * 4 * 7)
    ours = evaluate(Conv2d(name="y", stride=(2, 1), group=7), x, w)
    assert_same(ours, run_node("Conv", [x, w], strides=(2, 1), group=7))


def test_conv2d_fills_pads_with_pad_value():
    rng = np.random.default_rng(1)
    x = rng.standard_normal((1, 2, 5, 5), np.float32)
    w = rng.standard_normal((3, 2, 3, 3), np.float32)
    op = Conv2d(name="y", pads=(2, 1, 0, 1), pad_value=-1.5)
    padded = np.pad(x, ((0, 0), (0, 0), (2, 0), (1, 1)), constant_values=-1.5)
    assert_same(evaluate(op, x, w), run_node("Conv", [padded, w]))


def test_conv2d_clamps_to_relu_max():
    x = np.array([-1.0, 3.0, 9.0], np.float32).reshape(1, 1, 1, 3)
    w = np.ones((1, 1, 1, 1), np.float32)
    y = evaluate(Conv2d(name="y", relu=True, relu_max=6.0), x, w)
    assert y.ravel().tolist() == [0.0, 3.0, 6.0]


@settings(max_examples=60, deadline=None)
@given(
    seed=seeds, n=st.integers(1, 2), group=small, icg=small, ocg=small, kernel=pair, stride=pair,
    pads=st.tuples(*[st.integers(0, 1)] * 4), dilation=pair,
    extra=st.tuples(*[st.integers(0, 2)] * 2),
    size=st.tuples(st.integers(2, 6), st.integers(2, 6)), bias=st.booleans(),
)  # fmt: skip
def test_conv_transpose2d(
    seed, n, group, icg, ocg, kernel, stride, pads, dilation, extra, size, bias
):
    assume(all(e < s for e, s in zip(extra, stride, strict=True)))
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, group * icg, *size), np.float32)
    w = rng.standard_normal((group * icg, ocg, *kernel), np.float32)
    b = rng.standard_normal(group * ocg, np.float32) if bias else None
    op = ConvTranspose2d(
        name="y", stride=stride, pads=pads, dilation=dilation, output_padding=extra, group=group
    )
    full = op._full_size(size, kernel)
    assume(full[0] > pads[0] + pads[2] and full[1] > pads[1] + pads[3])
    theirs = run_node(
        "ConvTranspose", [x, w, b], strides=stride, pads=pads, dilations=dilation,
        output_padding=extra, group=group,
    )  # fmt: skip
    assert_same(evaluate(op, x, w, b), theirs)


@settings(max_examples=20, deadline=None)
@given(
    seed=seeds, batch=st.lists(small, max_size=3), k=small, n=small, bias=st.booleans(),
    relu=st.booleans(),
)  # fmt: skip
def test_fully_connected(seed, batch, k, n, bias, relu):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((*batch, k), np.float32)
    w = rng.standard_normal((n, k), np.float32)
    b = rng.standard_normal(n, np.float32) if bias else None
    theirs = run_node("Gemm", [x.reshape(-1, k), w, b], transB=1).reshape(*batch, n)
    op = FullyConnected(name="y", relu=relu)
    assert_same(evaluate(op, x, w, b), np.maximum(theirs, 0) if relu else theirs)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((2, 3), (3, 4)), ((5, 2, 3), (3, 4)), ((5, 1, 2, 3), (6, 3, 4)), ((3,), (3, 4)),
        ((2, 3), (3,)), ((3,), (3,)), ((4, 2, 3), (3,)),
    ],
)  # fmt: skip
def test_matmul(a, b):
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal(a, np.float32), rng.standard_normal(b, np.float32)
    theirs = run_node("MatMul", [x, y])
    assert_same(evaluate(MatMul(name="y"), x, y), theirs)
    assert_same(evaluate(MatMul(name="y", relu=True), x, y), np.maximum(theirs, 0))


X = np.zeros((1, 4, 5, 5), np.float32)


@pytest.mark.parametrize(
    ("op", "inputs", "why"),
    [
        (Conv2d(name="c"), (X,), "takes 2 operands but has 1"),
        (Conv2d(name="c"), (X, np.zeros((2, 3, 1, 1), np.float32)), "does not fit"),
        (Conv2d(name="c", group=0), (X, np.zeros((2, 4, 1, 1), np.float32)), "group"),
        (Conv2d(name="c", stride=(0, 1)), (X, np.zeros((2, 4, 1, 1), np.float32)), "stride"),
        (Conv2d(name="c"), (X, np.zeros((2, 4, 7, 7), np.float32)), "does not fit into"),
        (Conv2d(name="c"), (X, np.zeros((2, 4, 1, 1), np.int8)), "fp32"),
        (Conv2d(name="c"), (X[0], np.zeros((2, 4, 1, 1), np.float32)), "4 dimensions"),
        (Conv2d(name="c", relu_max=6.0), (X, np.zeros((2, 4, 1, 1), np.float32)), "without relu"),
        (
            Conv2d(name="c"),
            (X, np.zeros((2, 4, 1, 1), np.float32), np.zeros(3, np.float32)),
            "bias of 2 channels",
        ),
        (ConvTranspose2d(name="c", pads=(9, 0, 0, 0)), (X, np.zeros((4, 1, 1, 1), np.float32)),
         "size of the result"),
        (FullyConnected(name="c"), (X, np.zeros((2, 4), np.float32)), "does not fit"),
        (MatMul(name="c"), (X, X[:, :, :3]), "do not fit"),
    ],
)  # fmt: skip
def test_operands_that_do_not_fit(op, inputs, why):
    with pytest.raises(ModelError, match=why) as error:
        evaluate(op, *inputs)
    assert error.value.where == f"{op.kind} c"
