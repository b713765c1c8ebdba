"""Element-wise ops, activations and normalisation against onnxruntime."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from onnx_reference import assert_same, evaluate, run_node

from cvi.errors import ModelError
from cvi.ops import (
    Abs,
    Add,
    BatchNorm,
    Clip,
    Div,
    Elementary,
    Elu,
    Erf,
    Exp,
    Gelu,
    Gru,
    HardSigmoid,
    HardSwish,
    LayerNorm,
    LeakyRelu,
    Log,
    Lstm,
    Max,
    Min,
    Mish,
    Mul,
    Neg,
    Pow,
    PRelu,
    Reciprocal,
    Relu,
    Scale,
    Sigmoid,
    Softmax,
    Softplus,
    Sqrt,
    Sub,
    Swish,
    Tanh,
)

X = np.random.default_rng(0).normal(0, 4, (2, 3, 4, 5)).astype(np.float32)
X.ravel()[:6] = [0.0, -0.0, 80.0, -80.0, 3.0, -3.0]
SEQUENCE = tuple(np.zeros(s, np.float32) for s in [(5, 2, 3), (1, 16, 3), (1, 16, 4)])


@pytest.mark.parametrize(
    ("op", "kind", "attributes"),
    [
        (Relu(name="y"), "Relu", {}),
        (LeakyRelu(name="y", slope=0.2), "LeakyRelu", {"alpha": 0.2}),
        (Sigmoid(name="y"), "Sigmoid", {}),
        (Tanh(name="y"), "Tanh", {}),
        (Elu(name="y", alpha=0.7), "Elu", {"alpha": 0.7}),
        (Abs(name="y"), "Abs", {}),
        (Neg(name="y"), "Neg", {}),
        (Reciprocal(name="y"), "Reciprocal", {}),
        (Softplus(name="y"), "Softplus", {}),
        (Mish(name="y"), "Mish", {}),
        (HardSigmoid(name="y", alpha=0.3, beta=0.4), "HardSigmoid", {"alpha": 0.3, "beta": 0.4}),
        (HardSwish(name="y"), "HardSwish", {}),
        (Erf(name="y"), "Erf", {}),
        (Gelu(name="y"), "Gelu", {}),
        (Gelu(name="y", approximate=True), "Gelu", {"approximate": "tanh"}),
        (Softmax(name="y", axis=1), "Softmax", {"axis": 1}),
        (Softmax(name="y", axis=3), "Softmax", {"axis": 3}),
        (Softmax(name="y", axis=2, log=True), "LogSoftmax", {"axis": 2}),
    ],
    ids=lambda v: v.kind if hasattr(v, "kind") else "",
)
def test_functions(op, kind, attributes):
    with np.errstate(all="raise", under="ignore"):
        assert_same(evaluate(op, X), run_node(kind, [X], **attributes))


@pytest.mark.parametrize(("op", "kind"), [(Exp, "Exp"), (Log, "Log"), (Sqrt, "Sqrt")])
def test_functions_of_positive_numbers(op, kind):
    x = np.abs(X) + 0.001
    assert_same(evaluate(op(name="y"), x), run_node(kind, [x]))


@pytest.mark.parametrize("exponent", [2.0, 3.0, 0.5, -1.0, 1.7])
def test_pow(exponent):
    x = np.abs(X) + 0.01
    theirs = run_node("Pow", [x, np.array(exponent, np.float32)])
    assert_same(evaluate(Pow(name="y", exponent=exponent), x), theirs)


def test_functions_without_a_twin_in_onnx():
    sigmoid = run_node("Sigmoid", [X])
    assert_same(evaluate(Swish(name="y"), X), X * sigmoid)
    assert_same(evaluate(Sigmoid(name="y", scale=2.0, bias=-1.0), X), 2 * sigmoid - 1)
    assert_same(evaluate(Exp(name="y", scale=0.5, bias=1.0), X[X < 9]), 0.5 * np.exp(X[X < 9]) + 1)
    softplus = run_node("Softplus", [X])
    assert_same(evaluate(Softplus(name="y", scale=3.0, bias=0.1), X), 3 * softplus + 0.1)
    assert_same(evaluate(Relu(name="y", maximum=6.0), X), run_node("Relu", [np.minimum(X, 6)]))
    clipped = run_node("Clip", [X, np.float32(-1), np.float32(2)])
    assert_same(evaluate(Clip(name="y", minimum=-1.0, maximum=2.0), X), clipped)


def test_function_keeps_double_precision():
    x = np.linspace(-3, 3, 7)
    for op in (Sigmoid(name="y"), Gelu(name="y"), Swish(name="y"), Mish(name="y"), Erf(name="y")):
        assert op.function(x).dtype == np.float64


def test_prelu():
    slope = np.array([0.1, -0.5, 2.0], np.float32)
    theirs = run_node("PRelu", [X, slope.reshape(3, 1, 1)])
    assert_same(evaluate(PRelu(name="y"), X, slope), theirs)


_BINARY = {Add: "Add", Sub: "Sub", Mul: "Mul", Div: "Div", Max: "Max", Min: "Min"}


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31), kind=st.sampled_from(list(_BINARY)),
    shapes=hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=4, min_dims=0, max_side=4),
    relu=st.booleans(),
)  # fmt: skip
def test_binary(seed, kind, shapes, relu):
    rng = np.random.default_rng(seed)
    a, b = (rng.standard_normal(s).astype(np.float32) for s in shapes.input_shapes)
    theirs = run_node(_BINARY[kind], [a, b])
    assert_same(
        evaluate(kind(name="y", relu=relu), a, b), np.maximum(theirs, 0) if relu else theirs
    )


@pytest.mark.parametrize(("op", "kind"), [(Add, "Sum"), (Max, "Max"), (Min, "Min")])
def test_three_operands(op, kind):
    rng = np.random.default_rng(1)
    arrays = [rng.standard_normal(s, np.float32) for s in [(2, 3, 4), (3, 1), (1, 1, 4)]]
    assert_same(evaluate(op(name="y"), *arrays), run_node(kind, arrays))


def test_result_is_clamped():
    y = evaluate(Add(name="y", relu=True, relu_max=6.0), X, X)
    assert y.min() == 0 and y.max() == 6


@pytest.mark.parametrize("dims", [2, 3, 4, 5])
def test_batch_norm_and_scale(dims):
    rng = np.random.default_rng(dims)
    x = rng.standard_normal((2, 3, 4, 2, 3)[:dims], np.float32)
    gamma, beta, mean = (rng.standard_normal(3, np.float32) for _ in range(3))
    var = rng.random(3, np.float32)
    theirs = run_node("BatchNormalization", [x, gamma, beta, mean, var], epsilon=1e-3)
    assert_same(evaluate(BatchNorm(name="y", eps=1e-3), x, gamma, beta, mean, var), theirs)
    scaled = run_node("BatchNormalization", [x, gamma, beta, mean * 0, mean * 0 + 1], epsilon=0.0)
    assert_same(evaluate(Scale(name="y"), x, gamma, beta), scaled)
    without = evaluate(Scale(name="y", relu=True), x, gamma, None)
    assert_same(without, np.maximum(scaled - beta.reshape(-1, *[1] * (dims - 2)), 0))


def test_scale_of_a_tensor_without_channels():
    two, one = np.array([2.0], np.float32), np.array([1.0], np.float32)
    assert evaluate(Scale(name="y"), np.ones(3, np.float32), two, one).tolist() == [3, 3, 3]
    assert evaluate(Scale(name="y"), np.array(4.0, np.float32), two, one).tolist() == 9


@pytest.mark.parametrize(
    ("op", "inputs", "why"),
    [
        (Relu(name="r"), (X, X), "takes 1 operands but has 2"),
        (Relu(name="r"), (None,), "an operand is missing"),
        (Sigmoid(name="r"), (X.astype(np.int8),), "fp32"),
        (Add(name="r"), (X,), "takes 2 to"),
        (Sub(name="r"), (X, X, X), "takes 2 operands but has 3"),
        (Add(name="r"), (X, X[:, :2]), "cannot broadcast"),
        (Add(name="r"), (X, X.astype(np.int8)), "mixes tensors"),
        (Softmax(name="r", axis=4), (X,), "no axis 4"),
        (PRelu(name="r"), (X, np.zeros(2, np.float32)), "does not fit"),
        (Scale(name="r"), (X, np.zeros((3, 1), np.float32)), "does not fit"),
        (BatchNorm(name="r"), (X, *[np.zeros(4, np.float32)] * 4), "does not fit"),
        (Mul(name="r", relu=True, relu_max=-1.0), (X, X), "must not be negative"),
        (Elementary(name="r", which="sinc"), (X,), "'sinc' is not one of sin, cos"),
        (LayerNorm(name="r", axis=4), (X,), "no axis 4"),
        (LayerNorm(name="r", axis=3), (X, np.zeros(4, np.float32)), "does not fit"),
        (Lstm(name="r", direction="up"), SEQUENCE, "forward, reverse, bidirectional"),
        (Gru(name="r", direction="forward", result="cell"), SEQUENCE, "sequence, hidden"),
        (Gru(name="r", direction="forward"), SEQUENCE, "w is .* instead of 1x12x3"),
        (Lstm(name="r", direction="bidirectional"), SEQUENCE, "instead of 2x16x3"),
        (Lstm(name="r", direction="forward"), SEQUENCE[:2], "takes x, w, r and up to 3"),
        (Lstm(name="r", direction="forward"), (*SEQUENCE, X[0, 0]), "the bias is"),
    ],
)
def test_operands_that_do_not_fit(op, inputs, why):
    with pytest.raises(ModelError, match=why):
        evaluate(op, *inputs)
