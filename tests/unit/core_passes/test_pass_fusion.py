"""Relus, composed activations and pads."""

from __future__ import annotations

import pytest
from pictures import Builder, becomes, picture, stays

from cvi.ops import (
    Add,
    AvgPool2d,
    Clip,
    Concat,
    Conv2d,
    FullyConnected,
    HardSigmoid,
    MatMul,
    MaxPool2d,
    Mul,
    Pad,
    Relu,
    Sigmoid,
    Softplus,
    Tanh,
)
from cvi.passes import simplify


def test_relu_is_fused_into_every_capable_op():
    b = Builder()
    x, z = b.input(1, 3, 4, 4), b.input(1, 3, 4, 4, name="z")
    outputs = []
    for name, y in [
        ("conv", b.op(Conv2d, "c", x, b.random(3, 3, 1, 1), "")),
        ("add", b.op(Add, "a", x, z)),
        ("avg", b.op(AvgPool2d, "p", x, kernel=(2, 2))),
        ("mm", b.op(MatMul, "m", x, z)),
        ("fc", b.op(FullyConnected, "f", x, b.random(5, 4), "")),
    ]:
        outputs.append(b.op(Relu, name, y))
    becomes(
        b.done(*outputs),
        """
        %x : fp32[1x3x4x4] = Input()
        %z : fp32[1x3x4x4] = Input()
        %conv : fp32[1x3x4x4] = Conv2d(%x, @w, none) {relu=True}
        %add : fp32[1x3x4x4] = Add(%x, %z) {relu=True}
        %avg : fp32[1x3x3x3] = AvgPool2d(%x) {kernel=(2, 2), relu=True}
        %mm : fp32[1x3x4x4] = MatMul(%x, %z) {relu=True}
        %fc : fp32[1x3x4x5] = FullyConnected(%x, @w_1, none) {relu=True}
        return %conv, %add, %avg, %mm, %fc
        """,
    )


def test_relus_that_stay():
    b = Builder()
    x, z = b.input(1, 3, 4, 4), b.input(1, 3, 4, 4, name="z")
    shared = b.op(Add, "shared", x, z)
    outputs = [
        b.op(Relu, "r0", b.op(Concat, "cat", x, z)),
        b.op(Relu, "r1", b.op(MaxPool2d, "max", x, kernel=(2, 2))),
        b.op(Relu, "r2", b.op(AvgPool2d, "avg", x, kernel=(2, 2)), maximum=6.0),
        b.op(Relu, "r3", shared),
        b.op(Mul, "m", shared, z),
        b.op(Relu, "r4", x),
    ]
    stays(b.done(*outputs))


def test_relus_merge_with_the_lower_maximum():
    b = Builder()
    y = b.op(Relu, "r1", b.op(Relu, "r0", b.input(2, 3), maximum=6.0))
    y = b.op(Clip, "c", b.op(Relu, "r2", y, maximum=4.0), minimum=0.0, maximum=5.0)
    becomes(
        b.done(y),
        """
        %x : fp32[2x3] = Input()
        %c : fp32[2x3] = Relu(%x) {maximum=4.0}
        return %c
        """,
    )


def test_a_second_relu_lowers_the_fused_maximum():
    b = Builder()
    x = b.input(2, 3)
    y = b.op(Clip, "c", b.op(Add, "a", x, x, relu=True), minimum=0.0, maximum=6.0)
    becomes(
        b.done(y),
        """
        %x : fp32[2x3] = Input()
        %c : fp32[2x3] = Add(%x, %x) {relu=True, relu_max=6.0}
        return %c
        """,
    )


def test_clips():
    b = Builder()
    x = b.input(2, 3)
    outputs = [
        b.op(Clip, "relu", x, minimum=0.0, maximum=3.4028234663852886e38),
        b.op(Clip, "relu6", x, minimum=0.0, maximum=6.0),
        b.op(Clip, "both", x, minimum=-1.0, maximum=1.0),
    ]
    becomes(
        b.done(*outputs),
        """
        %x : fp32[2x3] = Input()
        %relu : fp32[2x3] = Relu(%x)
        %relu6 : fp32[2x3] = Relu(%x) {maximum=6.0}
        %both : fp32[2x3] = Clip(%x) {minimum=-1.0, maximum=1.0}
        return %relu, %relu6, %both
        """,
    )


@pytest.mark.parametrize("gate_first", [False, True])
def test_composed_activations(gate_first):
    b = Builder()
    x = b.input(2, 3)
    gates = {
        "swish": b.op(Sigmoid, "s", x),
        "hard": b.op(HardSigmoid, "h", x, alpha=0.1666666716337204, beta=0.5),
        "mish": b.op(Tanh, "t", b.op(Softplus, "sp", x)),
    }
    outputs = [b.op(Mul, n, *((g, x) if gate_first else (x, g))) for n, g in gates.items()]
    becomes(
        b.done(*outputs),
        """
        %x : fp32[2x3] = Input()
        %swish : fp32[2x3] = Swish(%x)
        %hard : fp32[2x3] = HardSwish(%x)
        %mish : fp32[2x3] = Mish(%x)
        return %swish, %hard, %mish
        """,
    )


def test_products_that_are_no_activation():
    b = Builder()
    x, z = b.input(2, 3), b.input(2, 3, name="z")
    used = b.op(Sigmoid, "used", x)
    outputs = [
        b.op(Mul, "m0", z, b.op(Sigmoid, "s0", x)),
        b.op(Mul, "m1", x, b.op(Sigmoid, "s1", x, scale=2.0)),
        b.op(Mul, "m2", x, b.op(HardSigmoid, "h", x, alpha=0.2)),
        b.op(Mul, "m3", x, b.op(Tanh, "t", b.op(Softplus, "sp", z))),
        b.op(Mul, "m4", x, used),
        used,
    ]
    stays(b.done(*outputs))


def pad(b: Builder, x: str, *, value: float = 0.0, before=(0, 0, 1, 2), after=(0, 0, 2, 1)) -> str:
    return b.op(Pad, "pad", x, before=before, after=after, value=value)


def test_a_pad_goes_into_all_its_users():
    b = Builder()
    padded = pad(b, b.op(Relu, "r", b.input(1, 3, 6, 6)))
    w = b.random(2, 3, 3, 3)
    outputs = [
        b.op(Conv2d, "c0", padded, w, ""),
        b.op(Conv2d, "c1", padded, w, "", pads=(1, 0, 0, 1), stride=(2, 2)),
        b.op(MaxPool2d, "m", padded, kernel=(3, 3), stride=(2, 2)),
        b.op(AvgPool2d, "a0", padded, kernel=(3, 3)),
        b.op(AvgPool2d, "a1", padded, kernel=(3, 3), pads=(0, 0, 1, 1), count_include_pad=True,
             ceil_pads=(1, 1), stride=(2, 2)),
    ]  # fmt: skip
    becomes(
        b.done(*outputs),
        """
        %x : fp32[1x3x6x6] = Input()
        %r : fp32[1x3x6x6] = Relu(%x)
        %c0 : fp32[1x2x7x7] = Conv2d(%r, @w, none) {pads=(1, 2, 2, 1)}
        %c1 : fp32[1x2x4x4] = Conv2d(%r, @w, none) {stride=(2, 2), pads=(2, 2, 2, 2)}
        %m : fp32[1x3x4x4] = MaxPool2d(%r) {kernel=(3, 3), stride=(2, 2), pads=(1, 2, 2, 1)}
        %a0 : fp32[1x3x7x7] = AvgPool2d(%r) """
        """{kernel=(3, 3), pads=(1, 2, 2, 1), count_include_pad=True}
        %a1 : fp32[1x3x4x4] = AvgPool2d(%r) {kernel=(3, 3), stride=(2, 2), """
        """pads=(1, 2, 3, 2), ceil_pads=(1, 1), count_include_pad=True}
        return %c0, %c1, %m, %a0, %a1
        """,
    )


def test_infinitely_low_pads_never_win_in_a_max_pool():
    b = Builder()
    padded = pad(b, b.input(1, 3, 6, 6), value=float("-inf"))
    becomes(
        b.done(b.op(MaxPool2d, "m", padded, kernel=(3, 3))),
        """
        %x : fp32[1x3x6x6] = Input()
        %m : fp32[1x3x7x7] = MaxPool2d(%x) {kernel=(3, 3), pads=(1, 2, 2, 1)}
        return %m
        """,
    )


@pytest.mark.parametrize(
    "case",
    ["value", "wide", "batch", "other user", "output", "mode", "negative", "window", "counted"],
)
def test_pads_that_stay(case):
    b = Builder()
    x = b.input(1, 3, 20, 20)
    attributes = {
        "value": {"value": 1.0},
        "wide": {"before": (0, 0, 16, 0)},
        "batch": {"before": (1, 0, 0, 0)},
    }.get(case, {})
    if case == "mode":
        padded = b.op(Pad, "pad", x, before=(0, 0, 1, 1), after=(0, 0, 1, 1), mode="reflect")
    elif case == "window":
        padded = pad(b, b.op(Relu, "r", x), before=(0, 0, 3, 0))
    else:
        padded = pad(b, x, **attributes)
    if case in ("negative", "window"):
        outputs = [b.op(MaxPool2d, "m", padded, kernel=(3, 3))]
    elif case == "counted":
        outputs = [b.op(AvgPool2d, "a", padded, kernel=(3, 3), pads=(1, 1, 1, 1))]
    else:
        outputs = [b.op(Conv2d, "c", padded, b.random(2, 3, 3, 3), "")]
    if case == "other user":
        outputs.append(b.op(Sigmoid, "s", padded))
    if case == "output":
        outputs.append(padded)
    graph = b.done(*outputs)
    assert "Pad" in picture(simplify(graph))
    stays(graph)
