"""Scales: where they come from and where they go."""

from __future__ import annotations

import numpy as np
import pytest
from pictures import Builder, becomes, picture, stays

from cvi.ops import (
    Add,
    BatchNorm,
    Conv2d,
    ConvTranspose2d,
    Div,
    FullyConnected,
    MatMul,
    Mul,
    Relu,
    Scale,
    Sub,
)
from cvi.passes import simplify


def batch_norm(b: Builder, name: str, x: str, c: int) -> str:
    var = b.const(b.rng.random(c) + 0.1, "var")
    parameters = [b.random(c, name=n) for n in ("gamma", "beta", "mean")]
    return b.op(BatchNorm, name, x, *parameters, var, eps=1e-3)


def test_batch_norm_and_relu_disappear_in_the_convolution():
    b = Builder()
    x = b.input(1, 3, 5, 5)
    conv = b.op(Conv2d, "conv", x, b.random(4, 3, 3, 3), "")
    relu = b.op(Relu, "relu", batch_norm(b, "bn", conv, 4), maximum=6.0)
    after = becomes(
        b.done(relu),
        """
        %x : fp32[1x3x5x5] = Input()
        %relu : fp32[1x4x3x3] = Conv2d(%x, @bn_weight, @bn_bias_1) {relu=True, relu_max=6.0}
        return %relu
        """,
    )
    assert after["relu"].source == "relu:0"


@pytest.mark.parametrize("group", [1, 2])
def test_batch_norm_behind_a_transposed_convolution(group):
    b = Builder()
    x = b.input(1, 4, 3, 3)
    conv = b.op(
        ConvTranspose2d, "up", x, b.random(4, 3, 2, 2), b.random(3 * group), group=group,
        stride=(2, 2),
    )  # fmt: skip
    tail = f"{{stride=(2, 2){', group=2' if group == 2 else ''}}}"
    becomes(
        b.done(batch_norm(b, "bn", conv, 3 * group)),
        f"""
        %x : fp32[1x4x3x3] = Input()
        %bn : fp32[1x{3 * group}x6x6] = ConvTranspose2d(%x, @bn_weight, @bn_bias_1) {tail}
        return %bn
        """,
    )


def test_a_lone_batch_norm_becomes_a_depthwise_convolution():
    b = Builder()
    bn = batch_norm(b, "bn", b.input(2, 3, 4, 4), 3)
    becomes(
        b.done(b.op(Relu, "relu", bn)),
        """
        %x : fp32[2x3x4x4] = Input()
        %relu : fp32[2x3x4x4] = Conv2d(%x, @relu_weight, @bn_bias) {group=3, relu=True}
        return %relu
        """,
    )


def test_on_other_ranks_a_scale_stays_a_scale():
    b = Builder()
    becomes(
        b.done(batch_norm(b, "bn", b.input(2, 3), 3)),
        """
        %x : fp32[2x3] = Input()
        %bn : fp32[2x3] = Scale(%x, @bn_scale, @bn_bias)
        return %bn
        """,
    )


def test_batch_norm_with_a_negative_variance_is_left_alone():
    b = Builder()
    x = b.input(2, 3)
    one = b.const(np.ones(3))
    graph = b.done(b.op(BatchNorm, "bn", x, one, one, one, b.const([-1.0, 1, 1])))
    assert picture(simplify(graph)) == picture(graph)


def test_no_folding_across_a_value_with_other_users():
    b = Builder()
    conv = b.op(Conv2d, "conv", b.input(1, 3, 4, 4), b.random(3, 3, 1, 1), "")
    scale = b.op(Scale, "scale", conv, b.random(3), "")
    becomes(
        b.done(b.op(Add, "sum", conv, scale)),
        """
        %x : fp32[1x3x4x4] = Input()
        %conv : fp32[1x3x4x4] = Conv2d(%x, @w, none)
        %scale : fp32[1x3x4x4] = Conv2d(%conv, @scale_weight, none) {group=3}
        %sum : fp32[1x3x4x4] = Add(%conv, %scale)
        return %sum
        """,
    )


def test_no_folding_across_a_network_output_or_a_relu():
    b = Builder()
    conv = b.op(Conv2d, "conv", b.input(1, 3, 4, 4), b.random(3, 3, 1, 1), "")
    relu = b.op(Relu, "relu", conv)
    scale = b.op(Scale, "scale", relu, b.random(3), "")
    becomes(
        b.done(conv, scale),
        """
        %x : fp32[1x3x4x4] = Input()
        %conv : fp32[1x3x4x4] = Conv2d(%x, @w, none)
        %relu : fp32[1x3x4x4] = Relu(%conv)
        %scale : fp32[1x3x4x4] = Conv2d(%relu, @scale_weight, none) {group=3}
        return %conv, %scale
        """,
    )


@pytest.mark.parametrize(
    ("kind", "shape", "constant_first"),
    [
        (Mul, (3, 1, 1), False), (Mul, (1, 3, 1, 1), True), (Mul, (1,), True), (Mul, (), False),
        (Add, (3, 1, 1), True), (Add, (1, 1, 1), False), (Sub, (3, 1, 1), False),
        (Sub, (1, 3, 1, 1), True), (Sub, (), True), (Div, (3, 1, 1), False), (Div, (1,), False),
    ],
)  # fmt: skip
def test_arithmetic_with_a_constant_per_channel(kind, shape, constant_first):
    b = Builder()
    x = b.input(2, 3, 4, 4)
    conv = b.op(Conv2d, "conv", x, b.random(3, 3, 1, 1), b.random(3))
    operands = (conv, b.random(*shape))
    y = b.op(kind, "y", *(operands[::-1] if constant_first else operands), relu=True)
    after = simplify(b.done(y))
    assert [op.kind for op in after] == ["Input", "Conv2d"]
    becomes(b.graph, picture(after))


@pytest.mark.parametrize(
    ("kind", "x_shape", "shape", "constant_first"),
    [
        (Mul, (2, 3, 4, 4), (4,), False), (Add, (2, 3, 4, 4), (2, 1, 1, 1), False),
        (Mul, (1, 3, 1, 1), (1, 3, 4, 4), False), (Div, (2, 3), (3,), True),
        (Mul, (3,), (3,), False),
    ],
)  # fmt: skip
def test_arithmetic_that_is_no_scale(kind, x_shape, shape, constant_first):
    b = Builder()
    operands = (b.input(*x_shape), b.random(*shape))
    stays(b.done(b.op(kind, "y", *(operands[::-1] if constant_first else operands))))


def test_division_by_zero_is_left_alone():
    b = Builder()
    stays(b.done(b.op(Div, "y", b.input(2, 3), b.const([1, 0, 2]))))


def test_a_chain_of_scales_is_one():
    b = Builder()
    y = b.input(2, 3)
    for i in range(4):
        y = b.op(Scale, f"s{i}", y, b.random(3), b.random(3) if i % 2 else "", relu=i == 1)
    becomes(
        b.done(y),
        """
        %x : fp32[2x3] = Input()
        %s1 : fp32[2x3] = Scale(%x, @s1_scale, @s1_bias) {relu=True}
        %s3 : fp32[2x3] = Scale(%s1, @s3_scale, @s3_bias)
        return %s3
        """,
    )


def test_matrix_product_bias_and_scale_are_one_fully_connected():
    b = Builder()
    product = b.op(MatMul, "mm", b.input(2, 6), b.random(6, 4))
    biased = b.op(Add, "add", b.random(4), product)
    scaled = b.op(Scale, "scale", biased, b.random(4), b.random(4))
    becomes(
        b.done(b.op(Relu, "relu", scaled)),
        """
        %x : fp32[2x6] = Input()
        %relu : fp32[2x4] = FullyConnected(%x, @scale_weight, @scale_bias) {relu=True}
        return %relu
        """,
    )


def test_bias_along_the_last_axis_of_a_three_dimensional_product():
    b = Builder()
    product = b.op(MatMul, "mm", b.input(2, 5, 6), b.random(6, 4))
    biased = b.op(Add, "add", product, b.random(4))
    per_token = b.op(Mul, "mul", biased, b.random(5, 1))
    becomes(
        b.done(b.op(Mul, "half", per_token, b.const(0.5))),
        """
        %x : fp32[2x5x6] = Input()
        %add : fp32[2x5x4] = FullyConnected(%x, @mm_weight, @add_bias)
        %half : fp32[2x5x4] = Scale(%add, @half_scale_1, @half_bias)
        return %half
        """,
    )


def test_a_uniform_scale_fits_any_fully_connected():
    b = Builder()
    fc = b.op(FullyConnected, "fc", b.input(2, 5, 6), b.random(4, 6), "")
    becomes(
        b.done(b.op(Mul, "half", fc, b.const(0.5))),
        """
        %x : fp32[2x5x6] = Input()
        %half : fp32[2x5x4] = FullyConnected(%x, @half_weight, none)
        return %half
        """,
    )
