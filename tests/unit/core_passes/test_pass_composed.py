"""Layer normalisation, deviations, Gelu and hard activations that exporters write as arithmetic."""

from __future__ import annotations

import math

import pytest
from pictures import Builder, becomes, picture

from cvi.ops import (
    Add,
    Clip,
    Div,
    Erf,
    Exp,
    Log,
    Mul,
    Permute,
    Pow,
    Reciprocal,
    Reduce,
    Relu,
    Reshape,
    Sqrt,
    Sub,
    Tanh,
)
from cvi.passes import simplify

EPS = 2.0**-20


def normalised(
    b: Builder, x: str, axes: tuple[int, ...], *, square: str = "pow", divide: str = "div"
) -> str:
    """x with mean 0 and variance 1, in one of the ways exporters write it."""
    mean = b.op(Reduce, "mean", x, method="mean", axes=axes)
    d = b.op(Sub, "d", x, mean)
    squared = b.op(Pow, "sq", d, exponent=2.0) if square == "pow" else b.op(Mul, "sq", d, d)
    var = b.op(Reduce, "var", squared, method="mean", axes=axes)
    shifted = b.op(Add, "shifted", var, b.const([EPS]))
    if divide == "pow":
        return b.op(Mul, "y", d, b.op(Pow, "inverse", shifted, exponent=-0.5))
    root = b.op(Sqrt, "root", shifted)
    if divide == "reciprocal":
        return b.op(Mul, "y", b.op(Reciprocal, "inverse", root), d)
    again = b.op(Sub, "d2", x, mean) if divide == "twice" else d
    return b.op(Div, "y", again, root)


@pytest.mark.parametrize("square", ["pow", "mul"])
@pytest.mark.parametrize("divide", ["div", "twice", "reciprocal", "pow"])
def test_layer_norm(square: str, divide: str) -> None:
    b = Builder()
    y = normalised(b, b.input(2, 5, 6), (2,), square=square, divide=divide)
    y = b.op(Mul, "g", b.random(6, name="gamma"), y)
    y = b.op(Add, "out", y, b.random(6, name="beta"))
    becomes(
        b.done(y),
        f"""
        %x : fp32[2x5x6] = Input()
        %out : fp32[2x5x6] = LayerNorm(%x, @gamma, @beta) {{axis=2, eps={EPS}}}
        return %out
        """,
    )


def test_layer_norm_over_several_dimensions_with_bias_only() -> None:
    b = Builder()
    y = normalised(b, b.input(2, 3, 4, 5), (1, 2, 3))
    y = b.op(Add, "out", y, b.random(3, 4, 5, name="beta"))
    after = simplify(b.done(y))
    assert [op.kind for op in after] == ["Input", "LayerNorm"]
    assert after["out"].inputs == ("x", "", "beta")


def test_layer_norm_over_channels_of_an_image() -> None:
    b = Builder()
    after = becomes(
        b.done(normalised(b, b.input(2, 3, 4, 5), (1,))),
        f"""
        %x : fp32[2x3x4x5] = Input()
        %y_last : fp32[2x4x5x3] = Permute(%x) {{order=(0, 2, 3, 1)}}
        %y_norm : fp32[2x4x5x3] = LayerNorm(%y_last) {{axis=3, eps={EPS}}}
        %y : fp32[2x3x4x5] = Permute(%y_norm) {{order=(0, 3, 1, 2)}}
        return %y
        """,
    )
    assert isinstance(after["y"], Permute)


def test_what_is_no_layer_norm() -> None:
    b = Builder()
    x, z = b.input(2, 6), b.input(2, 6, name="z")
    mean = b.op(Reduce, "mean", x, method="mean", axes=(1,))
    d = b.op(Sub, "d", x, mean)
    other = b.op(Sub, "other", z, b.op(Reduce, "mean2", z, method="mean", axes=(1,)))
    var = b.op(Reduce, "var", b.op(Mul, "sq", d, other), method="mean", axes=(1,))
    root = b.op(Sqrt, "root", b.op(Add, "shifted", var, b.const([EPS])))
    wrong = b.op(Reduce, "var2", b.op(Mul, "sq2", d, d), method="sum", axes=(1,))
    root2 = b.op(Sqrt, "root2", b.op(Add, "shifted2", wrong, b.const([EPS])))
    root3 = b.op(Sqrt, "root3", b.op(Reduce, "var3", b.op(Mul, "sq3", d, d), method="mean",
                                     axes=(1,)))  # fmt: skip
    outputs = [b.op(Div, f"y{i}", d, r) for i, r in enumerate((root, root2, root3))]
    assert "LayerNorm" not in picture(simplify(b.done(*outputs)))


def variance(
    b: Builder, x: str, axes: tuple[int, ...], method: str = "mean", *,
    square: str = "pow", keepdims: bool = True,
) -> str:  # fmt: skip
    """The mean or the sum of the squared deviations from the mean over axes."""
    d = b.op(Sub, "d", x, b.op(Reduce, "mean", x, method="mean", axes=axes))
    squared = b.op(Pow, "sq", d, exponent=2.0) if square == "pow" else b.op(Mul, "sq", d, d)
    return b.op(Reduce, "var", squared, method=method, axes=axes, keepdims=keepdims)


@pytest.mark.parametrize("square", ["pow", "mul"])
def test_std_of_all_elements(square: str) -> None:
    b = Builder()
    root = b.op(Sqrt, "root", variance(b, b.input(2, 5, 6), (1,), square=square))
    becomes(
        b.done(root),
        """
        %x : fp32[2x5x6] = Input()
        %root : fp32[2x1x6] = Std(%x) {axes=(1,)}
        return %root
        """,
    )


@pytest.mark.parametrize("form", ["mul div", "factor", "sum"])
def test_std_of_a_sample(form: str) -> None:
    """n / (n - 1) in two constants, in one (rounded), and the sum by n - 1."""
    b = Builder()
    x = b.input(2, 7, 9, 11)
    method = "sum" if form == "sum" else "mean"
    var = variance(b, x, (2, 3), method, keepdims=False)
    if form == "factor":
        var = b.op(Mul, "v", var, b.const([99 / 98]))
    else:
        var = var if form == "sum" else b.op(Mul, "v", var, b.const(99.0))
        var = b.op(Div, "v2", var, b.const(98.0))
    becomes(
        b.done(b.op(Pow, "root", var, exponent=0.5)),
        """
        %x : fp32[2x7x9x11] = Input()
        %root : fp32[2x7] = Std(%x) {axes=(2, 3), correction=1.0, keepdims=False}
        return %root
        """,
    )


def test_std_with_dimensions_put_back_before_the_root() -> None:
    b = Builder()
    var = variance(b, b.input(2, 3, 4), (1,), keepdims=False)
    whole = b.op(Sqrt, "whole", b.op(Reshape, "r", var, shape=(2, 1, 4)))
    other = b.op(Sqrt, "other", b.op(Reshape, "s", var, shape=(4, 2)))
    becomes(
        b.done(whole, other),
        """
        %x : fp32[2x3x4] = Input()
        %whole : fp32[2x1x4] = Std(%x) {axes=(1,)}
        %other_std : fp32[2x1x4] = Std(%x) {axes=(1,)}
        %other : fp32[4x2] = Reshape(%other_std) {shape=(4, 2)}
        return %whole, %other
        """,
    )


def test_std_of_everything_from_a_mean_without_dimensions() -> None:
    b = Builder()
    x = b.input(3, 4)
    d = b.op(Sub, "d", x, b.op(Reduce, "mean", x, method="mean", axes=(0, 1), keepdims=False))
    var = b.op(Reduce, "var", b.op(Mul, "sq", d, d), method="mean", axes=(0, 1), keepdims=False)
    after = simplify(b.done(b.op(Sqrt, "root", var)))
    assert [op.kind for op in after] == ["Input", "Std"]


def test_what_is_no_std() -> None:
    """Other axes, a factor below 1, an epsilon, another mean."""
    b = Builder()
    x = b.input(2, 5, 6)
    var = variance(b, x, (1,))
    roots = [
        b.op(Sqrt, "less", b.op(Mul, "f", var, b.const([0.5]))),
        b.op(Sqrt, "eps", b.op(Add, "e", var, b.const([EPS]))),
        b.op(Sqrt, "axes", b.op(Reduce, "a", "sq", method="mean", axes=(2,))),
    ]
    m = b.op(Reduce, "m", b.op(Mul, "xx", x, x), method="mean", axes=(1,))
    square = b.op(Pow, "ps", b.op(Sub, "p", x, m), exponent=2.0)
    other = b.op(Reduce, "pv", square, method="mean", axes=(1,))
    roots.append(b.op(Sqrt, "other", other))
    assert "Std" not in picture(simplify(b.done(*roots)))


def gelu(b: Builder, x: str, form: str) -> str:
    if form == "tanh":
        cube = b.op(Mul, "x3", b.op(Mul, "x2", x, x), x)
        inner = b.op(Add, "sum", x, b.op(Mul, "c", cube, b.const([0.044715])))
        inner = b.op(Mul, "scaled", inner, b.const([math.sqrt(2 / math.pi)]))
        gate = b.op(Tanh, "f", inner)
    else:
        gate = b.op(Erf, "f", b.op(Div, "scaled", x, b.const([math.sqrt(2)])))
    return b.op(Add, "gate", gate, b.const([1.0]))


@pytest.mark.parametrize("form", ["erf", "tanh"])
@pytest.mark.parametrize("where", ["last", "first", "gate"])
def test_gelu(form: str, where: str) -> None:
    b = Builder()
    x = b.input(2, 3)
    gate, half = gelu(b, x, form), b.const([0.5])
    if where == "last":
        y = b.op(Mul, "y", b.op(Mul, "m", x, gate), half)
    elif where == "first":
        y = b.op(Mul, "y", b.op(Mul, "m", x, half), gate)
    else:
        y = b.op(Mul, "y", b.op(Mul, "m", gate, half), x)
    after = becomes(
        b.done(y),
        f"""
        %x : fp32[2x3] = Input()
        %y : fp32[2x3] = Gelu(%x){" {approximate=True}" if form == "tanh" else ""}
        return %y
        """,
    )
    assert after["y"].source == "y:0"


@pytest.mark.parametrize("scale", ["div", "mul"])
@pytest.mark.parametrize("clip", [Clip, Relu])
def test_hard_activations(clip: type, scale: str) -> None:
    b = Builder()
    x = b.input(2, 3)
    limits = {"minimum": 0.0, "maximum": 6.0} if clip is Clip else {"maximum": 6.0}

    def sixth(name: str, y: str) -> str:
        if scale == "div":
            return b.op(Div, name, y, b.const([6.0]))
        return b.op(Mul, name, y, b.const([1 / 6]))

    def clipped(name: str) -> str:
        return b.op(clip, f"{name}_clip", b.op(Add, f"{name}_add", x, b.const([3.0])), **limits)

    outputs = [
        sixth("sigmoid", clipped("s")),
        b.op(Mul, "swish", x, sixth("inner", clipped("i"))),
        sixth("late", b.op(Mul, "product", x, clipped("l"))),
    ]
    kinds = {op.name: op.kind for op in simplify(b.done(*outputs))}
    assert kinds == {
        "x": "Input", "sigmoid": "HardSigmoid", "swish": "HardSwish", "late": "HardSwish",
    }  # fmt: skip


def test_softplus_and_mish_from_exponentials() -> None:
    b = Builder()
    x = b.input(2, 3)

    def softplus(name: str, offset: float = 1.0) -> str:
        power = b.op(Exp, f"{name}_exp", x)
        return b.op(Log, name, b.op(Add, f"{name}_add", power, b.const([offset])))

    mish = b.op(Mul, "mish", x, b.op(Tanh, "t", softplus("s")))
    after = simplify(b.done(softplus("plus"), mish, softplus("other", 2.0)))
    kinds = {name: after[name].kind for name in after.outputs}
    assert kinds == {"plus": "Softplus", "mish": "Mish", "other": "Log"}


def test_near_misses() -> None:
    b = Builder()
    x, z = b.input(2, 3), b.input(2, 3, name="z")
    gate = gelu(b, x, "erf")
    outputs = [
        b.op(Mul, "y0", b.op(Mul, "m0", z, gate), b.const([0.5])),
        b.op(Mul, "y1", b.op(Mul, "m1", x, gate), b.const([0.4])),
        b.op(Div, "y2", b.op(Clip, "c", b.op(Add, "a", x, b.const([3.0])), minimum=0.0,
                             maximum=6.0), b.const([5.0])),
    ]  # fmt: skip
    text = picture(simplify(b.done(*outputs)))
    assert not any(kind in text for kind in ("Gelu", "HardSigmoid", "HardSwish"))
