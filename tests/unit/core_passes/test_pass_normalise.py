"""Normalisations in steps, and weighted sums of constants."""

from __future__ import annotations

import numpy as np
import pytest
from pictures import Builder, assert_same_values, becomes, stays

from cvi.ops import Add, FullyConnected, InstanceNorm, Lrn, Normalize, Reverse, Sigmoid
from cvi.passes import simplify


def test_lrn_is_a_product_with_a_power():
    b = Builder()
    becomes(
        b.done(b.op(Lrn, "n", b.input(1, 9, 4, 4), size=5, alpha=0.5, beta=0.75, k=2.0)),
        """
        %x : fp32[1x9x4x4] = Input()
        %n_power : fp32[1x9x4x4] = SquarePower(%x) {exponent=-0.75, size=5, scale=0.1, shift=2.0}
        %n : fp32[1x9x4x4] = Mul(%x, %n_power)
        return %n
        """,
    )


def test_normalize_is_a_product_with_the_inverse_norm_and_a_scale():
    b = Builder()
    x = b.input(1, 3, 4, 4)
    becomes(
        b.done(b.op(Normalize, "n", x, b.const([1, 2, 3]))),
        """
        %x : fp32[1x3x4x4] = Input()
        %n_power : fp32[1x1x4x4] = SquarePower(%x) {exponent=-0.5, shift=1e-10}
        %n_product : fp32[1x3x4x4] = Mul(%x, %n_power)
        %n : fp32[1x3x4x4] = Conv2d(%n_product, @n_weight, none) {group=3}
        return %n
        """,
    )


def test_normalize_of_whole_images_without_a_scale():
    b = Builder()
    x = b.input(2, 3, 4, 4)
    becomes(
        b.done(b.op(Normalize, "n", x, b.const([1, 1, 1]), across_spatial=True)),
        """
        %x : fp32[2x3x4x4] = Input()
        %n_flat : fp32[2x48] = Reshape(%x) {shape=(2, 48)}
        %n_power : fp32[2x1] = SquarePower(%n_flat) {exponent=-0.5, shift=1e-10}
        %n_inverse : fp32[2x1x1x1] = Reshape(%n_power) {shape=(2, 1, 1, 1)}
        %n : fp32[2x3x4x4] = Mul(%x, %n_inverse)
        return %n
        """,
    )


def test_the_parameters_of_an_instance_norm_are_a_scale():
    b = Builder()
    x = b.input(2, 3, 4)
    becomes(
        b.done(b.op(InstanceNorm, "n", x, b.const([1, 2, 3]), b.const([0, 1, 0]))),
        """
        %x : fp32[2x3x4] = Input()
        %n_unit : fp32[2x3x4] = InstanceNorm(%x, @n_one, @n_zero)
        %n : fp32[2x3x4] = Scale(%n_unit, @k, @k_1)
        return %n
        """,
    )


def test_a_plain_instance_norm_stays():
    b = Builder()
    stays(b.done(b.op(InstanceNorm, "n", b.input(2, 3, 4), b.const([1] * 3), b.const([0] * 3))))


@pytest.mark.parametrize("first", [True, False])
def test_a_weighted_sum_with_a_constant_is_a_scale(first):
    b = Builder()
    x, k = b.input(2, 3, 4), b.const(np.array([1, 2, 3]).reshape(3, 1))
    operands, factors = ((k, x), (4.0, -0.5)) if first else ((x, k), (-0.5, 4.0))
    after = becomes(
        b.done(b.op(Add, "y", *operands, coefficients=factors, relu=True)),
        """
        %x : fp32[2x3x4] = Input()
        %y : fp32[2x3x4] = Scale(%x, @y_scale, @y_bias) {relu=True}
        return %y
        """,
    )
    assert after.constants["y_scale"].tolist() == [-0.5] * 3
    assert after.constants["y_bias"].tolist() == [4, 8, 12]


def test_a_weighted_sum_is_no_bias():
    b = Builder()
    layer = b.op(FullyConnected, "f", b.input(2, 3, 5), b.random(4, 5), "")
    graph = b.done(b.op(Add, "y", layer, b.random(4), coefficients=(2.0, 1.0)))
    assert_same_values(graph, simplify(graph))


def test_one_element_in_the_opposite_order_is_itself():
    b = Builder()
    becomes(
        b.done(b.op(Sigmoid, "s", b.op(Reverse, "r", b.input(2, 1, 4), axis=1))),
        """
        %x : fp32[2x1x4] = Input()
        %s : fp32[2x1x4] = Sigmoid(%x)
        return %s
        """,
    )
