"""Every quantised op against loops over Python integers, written from the facts."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cvi.errors import ModelError
from cvi.ir import Array, DType, Op, TensorType
from cvi_tpu.quantized.integer_conv import convolve_int8
from cvi_tpu.quantized.ops import (
    Dequantize,
    Int8Add,
    Int8AvgPool2d,
    Int8Clip,
    Int8Conv2d,
    Int8Lut,
    Int8Max,
    Int8MaxPool2d,
    Int8Min,
    Int8Mul,
    Int8Requant,
    Quantize,
)

SEEDS = st.integers(0, 2**32 - 1)
RATE = st.tuples(st.integers(2**30, 2**31 - 1), st.integers(0, 12))


def int8s(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).integers(-128, 128, shape).astype(np.int8)


def result_type(op: Op, *arrays: Array | None) -> TensorType:
    return op.infer([None if a is None else TensorType(a.shape, DType.of(a)) for a in arrays])


def run(op: Op, *arrays: Array | None) -> Array:
    """The result, after checking that shape and element type are those inferred."""
    y = op.evaluate(*arrays)
    inferred = result_type(op, *arrays)
    assert (y.shape, y.dtype) == (inferred.shape, inferred.dtype.numpy)
    return y


def sat8(value: int, relu: bool = False) -> int:
    return max(0 if relu else -128, min(127, value))


def scaled(acc: int, m: int, s: int) -> int:
    """FACTS_TPU 3.3: QDM."""
    acc = (acc + 2**31) % 2**32 - 2**31
    h = (acc * m + 2**30) >> 31
    r = (abs(h) + ((1 << s) >> 1)) >> s
    return r if h >= 0 else -r


def literal_conv(
    op: Int8Conv2d, x: Array, weight: Array, bias: Sequence[int], m: Sequence[int], s: Sequence[int]
) -> Array:
    """FACTS_TPU 3.5 as written: index arithmetic on the expanded input, no arrays."""
    n, _, h, w = x.shape
    oc, icg, kh, kw = weight.shape
    top, left, bottom, right = op.pads
    height = (h - 1) * (op.insert[0] + 1) + 1 + top + bottom
    width = (w - 1) * (op.insert[1] + 1) + 1 + left + right
    oh = (height - ((kh - 1) * op.dilation[0] + 1)) // op.stride[0] + 1
    ow = (width - ((kw - 1) * op.dilation[1] + 1)) // op.stride[1] + 1

    def pixel(b: int, i: int, row: int, column: int) -> int:
        y, dy = divmod(row - top, op.insert[0] + 1)
        z, dz = divmod(column - left, op.insert[1] + 1)
        inside = 0 <= y < h and 0 <= z < w and dy == 0 and dz == 0
        return int(x[b, i, y, z]) if inside else op.fill

    out = np.zeros((n, oc, oh, ow), np.int8)
    for b, o, y, z in np.ndindex(out.shape):
        first = o // (oc // op.group) * icg
        total = bias[o]
        for i, ky, kx in np.ndindex(icg, kh, kw):
            row = y * op.stride[0] + ky * op.dilation[0]
            column = z * op.stride[1] + kx * op.dilation[1]
            total += int(weight[o, i, ky, kx]) * pixel(b, first + i, row, column)
        out[b, o, y, z] = sat8(scaled(total, m[o], s[o]), op.relu)
    return out


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[Int8Conv2d, tuple[Array, Array, Array, Array, Array]]:
    small = st.integers(1, 3)
    group = draw(st.sampled_from([1, 1, 2, 3]))
    icg, ocg = draw(small), draw(st.integers(1, 2))
    kernel, stride, dilation = (draw(st.tuples(small, small)) for _ in range(3))
    insert = draw(st.tuples(st.integers(0, 2), st.integers(0, 2)))
    pads = draw(st.tuples(*[st.integers(0, 2)] * 4))
    h, w = (
        (k - 1) * d + 1 + draw(st.integers(0, 3)) for k, d in zip(kernel, dilation, strict=True)
    )
    seed = draw(SEEDS)
    rng = np.random.default_rng(seed)
    oc = group * ocg
    op = Int8Conv2d(
        name="conv", out_scale=0.5, stride=stride, pads=pads, dilation=dilation, insert=insert,
        group=group, fill=draw(st.integers(-128, 127)), relu=draw(st.booleans()),
    )  # fmt: skip
    return op, (
        int8s(seed, draw(st.integers(1, 2)), group * icg, h, w),
        int8s(seed + 1, oc, icg, *kernel),
        rng.integers(-100_000, 100_000, oc).astype(np.int32),
        rng.integers(2**30, 2**31, oc).astype(np.uint32),
        rng.integers(0, 12, oc).astype(np.uint8),
    )


@settings(max_examples=60, deadline=None)
@given(convolutions())
def test_convolution(case: tuple[Int8Conv2d, tuple[Array, Array, Array, Array, Array]]) -> None:
    op, arrays = case
    x, weight, bias, m, s = arrays
    expected = literal_conv(op, x, weight, bias.tolist(), m.tolist(), s.tolist())
    np.testing.assert_array_equal(run(op, *arrays), expected)


def test_convolution_without_bias() -> None:
    x, weight = int8s(1, 1, 2, 3, 3), int8s(2, 2, 2, 2, 2)
    m, s = np.array([2**30, 2**31 - 1], np.uint32), np.array([6, 7], np.uint8)
    op = Int8Conv2d(name="conv", out_scale=1.0)
    expected = literal_conv(op, x, weight, [0, 0], m.tolist(), s.tolist())
    np.testing.assert_array_equal(run(op, x, weight, None, m, s), expected)


def test_the_accumulator_wraps_around() -> None:
    x = np.full((1, 1, 1, 1), 127, np.int8)
    weight = np.full((1, 1, 1, 1), 127, np.int8)
    bias = np.array([2**31 - 1], np.int32)
    op = Int8Conv2d(name="conv", out_scale=1.0)
    y = run(op, x, weight, bias, np.array([2**30], np.uint32), np.array([0], np.uint8))
    assert y.item() == -128  # a sum that saturated instead would give 127


@pytest.mark.parametrize("value", [(127, 127), (-128, -128), (-128, 127), (127, -128)])
@pytest.mark.parametrize(("channels", "kernel"), [(2048, 3), (3, 40), (300, 7)])
def test_sums_beyond_the_precision_of_fp32_are_exact(
    value: tuple[int, int], channels: int, kernel: int
) -> None:
    x = np.full((1, channels, kernel, kernel), value[0], np.int8)
    weight = np.full((1, channels, kernel, kernel), value[1], np.int8)
    weight[0, -1, -1, -1] = 3  # makes the exact sum odd where value[0] is
    exact = value[0] * (value[1] * (channels * kernel**2 - 1) + 3)
    assert abs(exact) > 2**24 or channels == 3
    assert convolve_int8(x, weight, (1, 1)).tolist() == [[[[exact]]]]


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.booleans())
def test_long_random_sums_are_exact(seed: int, positive: bool) -> None:
    x, weight = int8s(seed, 1, 700, 3, 3), int8s(seed + 1, 3, 700, 3, 3)
    if positive:
        x = np.maximum(x, 0)
        weight[0] |= 64
    exact = np.einsum("nihw,oihw->no", x.astype(np.int64), weight.astype(np.int64))
    assert convolve_int8(x, weight, (1, 1))[:, :, 0, 0].tolist() == exact.tolist()


def test_grouped_and_depthwise_long_sums_are_exact() -> None:
    x, weight = np.full((1, 2, 50, 50), -128, np.int8), np.full((2, 1, 50, 50), 127, np.int8)
    weight[:, 0, 0, 0] = 126, 125
    sums = convolve_int8(x, weight, (1, 1), group=2)
    assert sums.ravel().tolist() == [-128 * (127 * 2499 + 126), -128 * (127 * 2499 + 125)]
    x, weight = np.full((1, 8, 50, 50), -128, np.int8), np.full((2, 4, 50, 50), 127, np.int8)
    assert convolve_int8(x, weight, (1, 1), group=2).ravel().tolist() == [-128 * 127 * 10_000] * 2


@st.composite
def pools(draw: st.DrawFn) -> dict[str, Any]:
    kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    pads = tuple(draw(st.integers(0, k - 1)) for k in (*kernel, *kernel))
    return {
        "kernel": kernel,
        "stride": draw(st.tuples(st.integers(1, 3), st.integers(1, 3))),
        "pads": pads,
    }


@settings(max_examples=60, deadline=None)
@given(pools(), SEEDS)
def test_max_pool(window: dict[str, Any], seed: int) -> None:
    x = int8s(seed, 1, 2, 5, 6)
    (kh, kw), (sh, sw), (top, left, _, _) = window["kernel"], window["stride"], window["pads"]
    y = run(Int8MaxPool2d(name="pool", out_scale=1.0, **window), x)
    for n, c, i, j in np.ndindex(y.shape):
        rows = range(max(0, i * sh - top), min(5, i * sh - top + kh))
        columns = range(max(0, j * sw - left), min(6, j * sw - left + kw))
        seen = [int(x[n, c, r, k]) for r in rows for k in columns]
        assert y[n, c, i, j] == max(seen, default=-128)


@settings(max_examples=60, deadline=None)
@given(pools(), SEEDS, st.booleans(), st.booleans(), RATE)
def test_average_pool(
    window: dict[str, Any], seed: int, include: bool, relu: bool, rate: tuple[int, int]
) -> None:
    x = int8s(seed, 1, 2, 5, 6)
    (kh, kw), (sh, sw), (top, left, bottom, right) = window.values()
    ceil = (bottom // 2, right // 2)
    rates = tuple((k, 1 + k % 127, rate[0], rate[1] + k % 3) for k in range(1, kh * kw + 1))
    op = Int8AvgPool2d(
        name="pool", out_scale=1.0, ceil_pads=ceil, count_include_pad=include, rates=rates,
        relu=relu, **window,
    )  # fmt: skip
    y = run(op, x)

    def counted(position: int, size: int, before: int, after: int) -> bool:
        low, high = (-before, size + after) if include else (0, size)
        return low <= position < high

    for n, c, i, j in np.ndindex(y.shape):
        total = count = 0
        for row in range(i * sh - top, i * sh - top + kh):
            for column in range(j * sw - left, j * sw - left + kw):
                if 0 <= row < 5 and 0 <= column < 6:
                    total += int(x[n, c, row, column])
                count += counted(row, 5, top, bottom - ceil[0]) and counted(
                    column, 6, left, right - ceil[1]
                )
        by_count = {k: (weight, m, s) for k, weight, m, s in rates}
        weight, m, s = by_count.get(count, (0, 0, 0))
        assert y[n, c, i, j] == sat8(scaled(total * weight, m, s), relu)


def test_average_pool_asks_for_a_rate_of_every_count() -> None:
    op = Int8AvgPool2d(
        name="p", out_scale=1.0, kernel=(2, 2), pads=(1, 1, 0, 0), rates=((4, 1, 2**30, 1),)
    )
    with pytest.raises(ModelError, match=r"no rate for windows of \[1, 2\] pixels"):
        result_type(op, int8s(0, 1, 1, 3, 3))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(-85, 85), min_size=2, max_size=4), st.integers(0, 15), SEEDS, st.data())
def test_add(multipliers: list[int], shift: int, seed: int, data: st.DataObject) -> None:
    shapes = data.draw(
        st.lists(
            st.sampled_from([(2, 3, 2), (2, 1, 2), (1, 3, 1)]),
            min_size=len(multipliers), max_size=len(multipliers),
        )
    )  # fmt: skip
    relu = data.draw(st.booleans())
    arrays = [int8s(seed + i, *shape) for i, shape in enumerate(shapes)]
    room = 32767 - 128 * sum(map(abs, multipliers[:-1]))
    bias = data.draw(st.integers(-room, room)) if room > 0 else 0
    op = Int8Add(
        name="add", out_scale=1.0, multipliers=tuple(multipliers), shift=shift, relu=relu, bias=bias
    )
    y = run(op, *arrays)
    wide = [np.broadcast_to(a, y.shape) for a in arrays]
    for index in np.ndindex(y.shape):
        total = bias + sum(m * int(a[index]) for m, a in zip(multipliers, wide, strict=True))
        rounded = (Fraction(total, 2**shift) + Fraction(1, 2)).__floor__()
        assert y[index] == sat8(rounded, relu)


@settings(deadline=None)
@given(SEEDS, RATE, st.booleans())
def test_mul(seed: int, rate: tuple[int, int], relu: bool) -> None:
    a, b = int8s(seed, 2, 3, 4), int8s(seed + 1, 1, 3, 1)
    y = run(Int8Mul(name="mul", out_scale=1.0, multiplier=rate[0], shift=rate[1], relu=relu), a, b)
    for i, j, k in np.ndindex(y.shape):
        assert y[i, j, k] == sat8(scaled(int(a[i, j, k]) * int(b[0, j, 0]), *rate), relu)


def test_max_and_min_broadcast() -> None:
    a, b = np.array([[-128, 5], [7, 127]], np.int8), np.array([[6, 6]], np.int8)
    assert run(Int8Max(name="m", out_scale=1.0), a, b).tolist() == [[6, 6], [7, 127]]
    assert run(Int8Min(name="m", out_scale=1.0), a, b).tolist() == [[-128, 5], [6, 6]]


ALL_BYTES = np.arange(-128, 128).astype(np.int8).reshape(1, 4, 8, 8)


@settings(deadline=None)
@given(st.integers(1, 127), RATE, st.booleans())
def test_requant(weight: int, rate: tuple[int, int], relu: bool) -> None:
    op = Int8Requant(
        name="r", out_scale=1.0, weight=weight, multiplier=rate[0], shift=rate[1], relu=relu
    )
    expected = [sat8(scaled(v * weight, *rate), relu) for v in range(-128, 128)]
    assert run(op, ALL_BYTES).ravel().tolist() == expected


@given(st.integers(-128, 127), st.integers(-128, 127))
def test_clip(a: int, b: int) -> None:
    low, high = min(a, b), max(a, b)
    y = run(Int8Clip(name="c", out_scale=1.0, minimum=low, maximum=high), ALL_BYTES)
    assert y.ravel().tolist() == [min(max(v, low), high) for v in range(-128, 128)]


def test_lut_is_indexed_by_the_unsigned_byte() -> None:
    table = np.roll(np.arange(-128, 128), 5).astype(np.int8)
    y = run(Int8Lut(name="l", out_scale=1.0), ALL_BYTES, table)
    assert y.ravel().tolist() == [int(table[v % 256]) for v in range(-128, 128)]


@given(st.floats(-300, 300, width=32), st.floats(0.125, 8, width=32))
def test_quantize_rounds_the_fp32_product_half_away(value: float, scale: float) -> None:
    y = run(Quantize(name="q", scale=scale), np.array([value], np.float32))
    product = Fraction(float(np.float32(value) * np.float32(scale)))
    magnitude = (abs(product) + Fraction(1, 2)).__floor__()
    assert y.tolist() == [sat8(magnitude if product >= 0 else -magnitude)]


def test_casts_undo_each_other() -> None:
    quantize = Quantize(name="q", scale=16.0)
    assert result_type(quantize, np.zeros(3, np.float32)).scale == 1 / 16
    real = run(Dequantize(name="d", scale=1 / 16), ALL_BYTES)
    assert real.ravel()[0] == -8.0
    np.testing.assert_array_equal(run(quantize, real), ALL_BYTES)


X8 = TensorType((1, 4, 5, 5), DType.INT8, 1.0)
BROKEN = [
    (Int8Clip(name="o", out_scale=1.0, minimum=3, maximum=2), [X8], "minimum must be"),
    (Int8Clip(name="o", out_scale=0.0, minimum=0, maximum=2), [X8], "out_scale must be"),
    (Int8Clip(name="o", out_scale=1.0, minimum=0, maximum=2), [TensorType((1,))], "int8 tensors"),
    (Int8Mul(name="o", out_scale=1.0, multiplier=2**31, shift=0), [X8, X8], "multiplier must be"),
    (Int8Mul(name="o", out_scale=1.0, multiplier=0, shift=32), [X8, X8], "shift must be"),
    (Int8Max(name="o", out_scale=1.0), [X8, X8.with_shape((5,))], "operands of one rank"),
    (Int8Add(name="o", out_scale=1.0, multipliers=(1,), shift=0), [X8, X8], "has 1 multipliers"),
    (Int8Add(name="o", out_scale=1.0, multipliers=(128, 1), shift=0), [X8, X8], "multiplier must"),
    (Int8Add(name="o", out_scale=1.0, multipliers=(1, 1), shift=16), [X8, X8], "shift must"),
    (
        Int8Add(name="o", out_scale=1.0, multipliers=(-128, 128 - 1, 1, 1), shift=0),
        [X8] * 4,
        "partial sum",
    ),
    (
        Int8Add(name="o", out_scale=1.0, multipliers=(1, 1), shift=0, bias=-32640),
        [X8] * 2,
        "partial sum",
    ),
    (Int8Requant(name="o", out_scale=1.0, weight=0, multiplier=0, shift=0), [X8], "weight must"),
    (Int8Lut(name="o", out_scale=1.0), [X8, X8], r"int8\[256\]"),
    (Int8Conv2d(name="o", out_scale=1.0), [X8, X8], "takes 5 operands"),
    (Quantize(name="o", scale=-1.0), [TensorType((1,))], "scale must be positive"),
    (Dequantize(name="o", scale=1.0), [TensorType((1,))], "int8 tensors"),
]  # fmt: skip


@pytest.mark.parametrize(("op", "types", "message"), BROKEN)
def test_what_does_not_fit_is_refused(op: Op, types: list[TensorType], message: str) -> None:
    with pytest.raises(ModelError, match=message) as error:
        op.infer(types)
    assert error.value.where == f"{op.kind} o"


def test_convolution_checks_its_parameters() -> None:
    op = Int8Conv2d(name="o", out_scale=1.0)
    weight = TensorType((2, 4, 3, 3), DType.INT8)
    bias = TensorType((2,), DType.INT32)
    m, s = TensorType((2,), DType.UINT32), TensorType((2,), DType.UINT8)
    assert op.infer([X8, weight, bias, m, s]) == TensorType((1, 2, 3, 3), DType.INT8, 1.0)
    for broken in (
        [X8, weight, bias, m, TensorType((3,), DType.UINT8)],
        [X8, weight, m, m, s],
        [X8, weight, bias, None, s],
        [X8, TensorType((2, 3, 3, 3), DType.INT8), bias, m, s],
    ):
        with pytest.raises(ModelError):
            op.infer(broken)
