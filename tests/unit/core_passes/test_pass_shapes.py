"""Identities, reshapes, pixel shuffles, pools, resizes, constants and dead code."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from pictures import Builder, assert_same_values, becomes, picture, stays

from cvi.ops import (
    Add,
    AvgPool2d,
    Clip,
    Concat,
    Conv2d,
    Exp,
    MaxPool2d,
    Mul,
    Pad,
    Permute,
    PixelShuffle,
    Reduce,
    Relu,
    Reshape,
    Resize,
    Scale,
    Sigmoid,
    Slice,
    Tile,
    Upsample,
)
from cvi.passes import simplify


def identities(b: Builder):
    shape = (1, 4, 3, 5)
    half = (3 / 7, 5 / 9)
    return {
        "reshape": (Reshape, (), {"shape": shape}),
        "permute": (Permute, (), {"order": (0, 1, 2, 3)}),
        "slice": (Slice, (), {"starts": (0,) * 4, "sizes": shape, "steps": (3, 1, 1, 1)}),
        "pad": (Pad, (), {"before": (0,) * 4, "after": (0,) * 4, "mode": "edge"}),
        "scale": (Scale, (b.const(np.ones(4)), b.const(np.zeros(4))), {}),
        "unbiased scale": (Scale, (b.const(np.ones(4)), ""), {}),
        "product": (Mul, (b.const(1.0),), {}),
        "concat": (Concat, (), {"axis": 2}),
        "tile": (Tile, (), {"repeats": (1,) * 4}),
        "upsample": (Upsample, (), {"factors": (1, 1)}),
        "shuffle": (PixelShuffle, (), {"factor": 1}),
        "clip": (Clip, (), {"minimum": float("-inf"), "maximum": float("inf")}),
        "max pool": (MaxPool2d, (), {"kernel": (1, 1)}),
        "avg pool": (AvgPool2d, (), {"kernel": (1, 1)}),
        "nearest": (Resize, (), {"size": (3, 5), "scales": (1.0, 1.0)}),
        "linear": (Resize, (), {"size": (3, 5), "scales": (1.0, 1.0), "mode": "linear"}),
        "corners": (
            Resize, (), {"size": (3, 5), "scales": half, "mode": "linear",
                         "coordinates": "align_corners"},
        ),
    }  # fmt: skip


@pytest.mark.parametrize("case", list(identities(Builder())))
def test_identities_disappear(case):
    b = Builder()
    kind, operands, attributes = identities(b)[case]
    x = b.op(Sigmoid, "s", b.input(1, 4, 3, 5))
    same = b.op(kind, "same", x, *operands, **attributes)
    becomes(
        b.done(b.op(Exp, "e", same), b.op(Add, "a", same, x)),
        """
        %x : fp32[1x4x3x5] = Input()
        %s : fp32[1x4x3x5] = Sigmoid(%x)
        %e : fp32[1x4x3x5] = Exp(%s)
        %a : fp32[1x4x3x5] = Add(%s, %s)
        return %e, %a
        """,
    )


def test_an_identity_at_an_output_hands_its_name_on():
    b = Builder()
    same = b.op(Reshape, "same", b.op(Sigmoid, "s", b.input(2, 3)), shape=(2, 3))
    after = becomes(
        b.done(same),
        """
        %x : fp32[2x3] = Input()
        %same : fp32[2x3] = Sigmoid(%x)
        return %same
        """,
    )
    assert after["same"].source == "same:0"


def test_identities_that_must_stay_to_keep_an_output_name():
    b = Builder()
    x = b.input(2, 3)
    s = b.op(Sigmoid, "s", x)
    stays(b.done(b.op(Reshape, "a", x, shape=(2, 3)), s, b.op(Reshape, "b", s, shape=(2, 3))))


@pytest.mark.parametrize(
    ("kind", "attributes"),
    [
        (Resize, {"size": (4, 4), "scales": (2.0, 2.0), "mode": "linear"}),
        (AvgPool2d, {"kernel": (1, 1), "relu": True}),
        (MaxPool2d, {"kernel": (3, 3), "pads": (1, 1, 1, 1)}),
        (Permute, {"order": (0, 1, 3, 2)}),
        (Concat, {"axis": 0}),
    ],
)
def test_ops_of_the_same_shape_that_are_no_identities(kind, attributes):
    b = Builder()
    x = b.input(1, 2, 4, 4)
    operands = (x, x) if kind is Concat else (x,)
    stays(b.done(b.op(kind, "y", *operands, **attributes)))


def test_chains_of_reshapes_and_permutes():
    b = Builder()
    y = b.op(Reshape, "r1", b.op(Reshape, "r0", b.input(2, 3, 4), shape=(6, 4)), shape=(4, 3, 2))
    y = b.op(Permute, "p1", b.op(Permute, "p0", y, order=(1, 2, 0)), order=(1, 0, 2))
    becomes(
        b.done(y),
        """
        %x : fp32[2x3x4] = Input()
        %r1 : fp32[4x3x2] = Reshape(%x) {shape=(4, 3, 2)}
        %p1 : fp32[2x3x4] = Permute(%r1) {order=(2, 1, 0)}
        return %p1
        """,
    )


def test_a_chain_of_slices_is_one():
    b = Builder()
    y = b.op(Slice, "s0", b.input(2, 20), starts=(0, 3), sizes=(2, 8), steps=(1, 2))
    y = b.op(Slice, "s1", y, starts=(1, 1), sizes=(1, 3), steps=(1, 3))
    becomes(
        b.done(y),
        """
        %x : fp32[2x20] = Input()
        %s1 : fp32[1x3] = Slice(%x) {starts=(1, 5), sizes=(1, 3), steps=(1, 6)}
        return %s1
        """,
    )


def test_reshape_and_permute_there_and_back_cancel():
    b = Builder()
    y = b.op(Reshape, "r1", b.op(Reshape, "r0", b.input(2, 3), shape=(6,)), shape=(2, 3))
    y = b.op(Permute, "p1", b.op(Permute, "p0", y, order=(1, 0)), order=(1, 0))
    becomes(
        b.done(b.op(Sigmoid, "s", y)),
        """
        %x : fp32[2x3] = Input()
        %s : fp32[2x3] = Sigmoid(%x)
        return %s
        """,
    )


def test_a_permute_of_ones_is_a_reshape():
    b = Builder()
    y = b.op(Permute, "p", b.input(1, 8, 1, 1), order=(0, 2, 3, 1))
    becomes(
        b.done(b.op(Reshape, "r", y, shape=(1, 8))),
        """
        %x : fp32[1x8x1x1] = Input()
        %r : fp32[1x8] = Reshape(%x) {shape=(1, 8)}
        return %r
        """,
    )


@pytest.mark.parametrize(
    ("mode", "split", "order"),
    [
        ("CRD", (2, 3, 2, 2, 4, 5), (0, 1, 4, 2, 5, 3)),
        ("DCR", (2, 2, 2, 3, 4, 5), (0, 3, 4, 1, 5, 2)),
    ],
)
def test_pixel_shuffle(mode, split, order):
    b = Builder()
    y = b.op(Reshape, "r0", b.input(2, 12, 4, 5), shape=split)
    y = b.op(Reshape, "r1", b.op(Permute, "p", y, order=order), shape=(2, 3, 8, 10))
    tail = "{factor=2}" if mode == "CRD" else "{factor=2, mode='DCR'}"
    becomes(
        b.done(y),
        f"""
        %x : fp32[2x12x4x5] = Input()
        %r1 : fp32[2x3x8x10] = PixelShuffle(%x) {tail}
        return %r1
        """,
    )


def test_a_channel_shuffle_stays():
    b = Builder()
    y = b.op(Reshape, "r0", b.input(1, 8, 3, 3), shape=(1, 2, 4, 3, 3))
    y = b.op(Permute, "p", y, order=(0, 2, 1, 3, 4))
    stays(b.done(b.op(Reshape, "r1", y, shape=(1, 8, 3, 3))))


def test_reductions_over_the_plane_are_pools():
    b = Builder()
    x = b.input(2, 3, 4, 5)
    outputs = [
        b.op(Reduce, "m0", x, method="mean", axes=(2, 3)),
        b.op(Reduce, "m1", x, method="mean", axes=(2, 3), keepdims=False),
        b.op(Reduce, "m2", x, method="max", axes=(2, 3), keepdims=False),
        b.op(Reduce, "m3", x, method="l2", axes=(2, 3)),
    ]
    becomes(
        b.done(*outputs),
        """
        %x : fp32[2x3x4x5] = Input()
        %m0 : fp32[2x3x1x1] = AvgPool2d(%x) {kernel=(4, 5)}
        %m1_pool : fp32[2x3x1x1] = AvgPool2d(%x) {kernel=(4, 5)}
        %m1 : fp32[2x3] = Reshape(%m1_pool) {shape=(2, 3)}
        %m2_pool : fp32[2x3x1x1] = MaxPool2d(%x) {kernel=(4, 5)}
        %m2 : fp32[2x3] = Reshape(%m2_pool) {shape=(2, 3)}
        %m3_channels : fp32[2x4x5x3] = Permute(%x) {order=(0, 2, 3, 1)}
        %m3_image : fp32[2x20x3] = Reshape(%m3_channels) {shape=(2, 20, 3)}
        %m3_norm : fp32[2x1x3] = SquarePower(%m3_image) {exponent=0.5}
        %m3 : fp32[2x3x1x1] = Reshape(%m3_norm) {shape=(2, 3, 1, 1)}
        return %m0, %m1, %m2, %m3
        """,
    )


def test_reductions_over_other_axes() -> None:
    b = Builder()
    x = b.input(2, 3, 4, 5)
    outputs = [
        b.op(Reduce, "c0", x, method="mean", axes=(1,)),
        b.op(Reduce, "c1", x, method="max", axes=(1,)),
        b.op(Reduce, "s0", x, method="sum", axes=(2, 3)),
        b.op(Reduce, "n0", x, method="min", axes=(3,), keepdims=False),
    ]
    becomes(
        b.done(*outputs),
        """
        %x : fp32[2x3x4x5] = Input()
        %c0 : fp32[2x1x4x5] = Conv2d(%x, @c0_conv_weight, none)
        %c1_last : fp32[2x4x5x3] = Permute(%x) {order=(0, 2, 3, 1)}
        %c1_image : fp32[2x20x1x3] = Reshape(%c1_last) {shape=(2, 20, 1, 3)}
        %c1_pool : fp32[2x20x1x1] = MaxPool2d(%c1_image) {kernel=(1, 3)}
        %c1 : fp32[2x1x4x5] = Reshape(%c1_pool) {shape=(2, 1, 4, 5)}
        %s0_pool : fp32[2x3x1x1] = AvgPool2d(%x) {kernel=(4, 5)}
        %s0 : fp32[2x3x1x1] = Conv2d(%s0_pool, @s0_weight, none) {group=3}
        %n0_negative : fp32[2x3x4x5] = Neg(%x)
        %n0_image : fp32[2x12x1x5] = Reshape(%n0_negative) {shape=(2, 12, 1, 5)}
        %n0_pool : fp32[2x12x1x1] = MaxPool2d(%n0_image) {kernel=(1, 5)}
        %n0_min : fp32[2x12x1x1] = Neg(%n0_pool)
        %n0 : fp32[2x3x4] = Reshape(%n0_min) {shape=(2, 3, 4)}
        return %c0, %c1, %s0, %n0
        """,
    )


@pytest.mark.parametrize("method", ["mean", "sum", "max", "min"])
@pytest.mark.parametrize("keepdims", [True, False])
def test_every_reduction_keeps_its_values(method: str, keepdims: bool) -> None:
    for shape in ((3, 4), (2, 5, 3), (2, 3, 4, 5), (2, 3, 2, 3, 2)):
        for count in range(1, len(shape) + 1):
            for axes in itertools.combinations(range(len(shape)), count):
                if len(axes) == len(shape) and not keepdims:
                    continue
                b = Builder()
                y = b.op(Reduce, "y", b.input(*shape), method=method, axes=axes, keepdims=keepdims)
                before = b.done(y)
                after = simplify(before)
                assert not any(isinstance(op, Reduce) for op in after)
                assert_same_values(before, after)


@pytest.mark.parametrize(
    ("attributes", "becomes_upsample"),
    [
        ({"coordinates": "asymmetric", "nearest_mode": "floor"}, True),
        ({"coordinates": "half_pixel"}, True),
        ({"coordinates": "half_pixel", "nearest_mode": "ceil"}, False),
        ({"coordinates": "align_corners"}, False),
        ({"coordinates": "asymmetric", "nearest_mode": "ceil"}, False),
        ({"mode": "linear"}, False),
    ],
)
def test_resize(attributes, becomes_upsample):
    b = Builder()
    y = b.op(Resize, "y", b.input(1, 2, 3, 4), size=(6, 12), scales=(2.0, 3.0), **attributes)
    graph = b.done(y)
    if not becomes_upsample:
        stays(graph)
        return
    becomes(
        graph,
        """
        %x : fp32[1x2x3x4] = Input()
        %y : fp32[1x2x6x12] = Upsample(%x) {factors=(2, 3)}
        return %y
        """,
    )


@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_a_single_pixel_is_only_repeated(mode):
    b = Builder()
    y = b.op(Resize, "y", b.input(1, 2, 1, 1), size=(6, 5), scales=(6.0, 5.0), mode=mode)
    becomes(
        b.done(y),
        """
        %x : fp32[1x2x1x1] = Input()
        %y : fp32[1x2x6x5] = Upsample(%x) {factors=(6, 5)}
        return %y
        """,
    )


@pytest.mark.parametrize(
    ("attributes", "starts"),
    [
        ({"coordinates": "asymmetric", "nearest_mode": "floor"}, (0, 0)),
        ({"coordinates": "half_pixel", "nearest_mode": "ceil"}, (1, 1)),
        ({"coordinates": "half_pixel", "mode": "linear"}, None),
        ({"coordinates": "asymmetric", "mode": "linear"}, (0, 0)),
    ],
)
def test_resize_that_leaves_out_pixels(attributes, starts):
    b = Builder()
    y = b.op(Resize, "y", b.input(1, 2, 6, 9), size=(3, 3), scales=(1 / 2, 1 / 3), **attributes)
    graph = b.done(y)
    if starts is None:
        stays(graph)
        return
    becomes(
        graph,
        f"""
        %x : fp32[1x2x6x9] = Input()
        %y : fp32[1x2x3x3] = Slice(%x) \
{{starts=(0, 0, {starts[0]}, {starts[1]}), sizes=(1, 2, 3, 3), steps=(1, 1, 2, 3)}}
        return %y
        """,
    )


def test_resize_at_irregular_pixels_stays():
    b = Builder()
    x = b.input(1, 2, 5, 4)
    stays(b.done(b.op(Resize, "y", x, size=(3, 4), scales=(0.6, 1.0), nearest_mode="ceil")))


def test_constants_are_computed():
    b = Builder()
    k = b.op(Exp, "k2", b.op(Add, "k1", b.const([1.0, 2.0]), b.const(3.0)))
    w = b.op(Permute, "wt", b.random(3, 3, 3, 2), order=(3, 2, 0, 1))
    x = b.input(1, 3, 4, 4)
    y = b.op(Conv2d, "c", x, w, b.op(Reshape, "k3", k, shape=(2,)))
    after = becomes(
        b.done(y),
        """
        %x : fp32[1x3x4x4] = Input()
        %c : fp32[1x2x2x2] = Conv2d(%x, @wt, @k3)
        return %c
        """,
    )
    np.testing.assert_allclose(after.constants["k3"], np.exp([4.0, 5.0]), rtol=1e-6)
    assert set(after.constants) == {"wt", "k3"}


def test_a_constant_network_output_stays_an_op():
    b = Builder()
    b.input(1)
    stays(b.done(b.op(Exp, "e", b.const([1.0, 2.0]))))


def test_huge_constants_are_not_computed():
    b = Builder()
    big = b.op(Tile, "big", b.const([1.0]), repeats=(1 << 40,))
    graph = b.done(b.op(Slice, "s", big, starts=(0,), sizes=(1,), steps=(1,)))
    assert "Tile" in picture(simplify(graph))


def test_dead_code_goes_and_inputs_stay():
    b = Builder()
    x, _ = b.input(2, 3), b.input(4, name="unused")
    b.op(Add, "dead", b.op(Sigmoid, "s", x), b.random(3))
    graph = b.done(b.op(Relu, "r", x))
    after = becomes(
        graph,
        """
        %x : fp32[2x3] = Input()
        %unused : fp32[4] = Input()
        %r : fp32[2x3] = Relu(%x)
        return %r
        """,
    )
    assert not after.constants


def test_norms_over_channels_and_over_images():
    b = Builder()
    x = b.input(2, 3, 4)
    becomes(
        b.done(
            b.op(Reduce, "c", x, method="l2", axes=(1,)),
            b.op(Reduce, "n", x, method="l2", axes=(0, 1, 2), keepdims=False),
        ),
        """
        %x : fp32[2x3x4] = Input()
        %c : fp32[2x1x4] = SquarePower(%x) {exponent=0.5}
        %n_image : fp32[1x24] = Reshape(%x) {shape=(1, 24)}
        %n_norm : fp32[1x1] = SquarePower(%n_image) {exponent=0.5}
        %n : fp32[scalar] = Reshape(%n_norm) {shape=()}
        return %c, %n
        """,
    )
