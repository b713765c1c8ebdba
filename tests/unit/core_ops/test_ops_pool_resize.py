"""Pools, reductions and resizing against onnxruntime."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from onnx_reference import assert_same, evaluate, run_node

from cvi.errors import ModelError
from cvi.ops import AvgPool2d, MaxPool2d, Reduce, Resize, Std

seeds = st.integers(0, 2**31)
kernels = st.tuples(st.integers(1, 4), st.integers(1, 4))
strides = st.tuples(st.integers(1, 3), st.integers(1, 3))
sizes = st.tuples(st.integers(4, 11), st.integers(4, 11))


def ceil_pads(size, kernel, stride, pads, out, dilation=(1, 1)):
    """Pads below and right that turn ceil_mode's output size into the floor formula's."""
    return tuple(
        max(0, (out[i] - 1) * stride[i] + (kernel[i] - 1) * dilation[i] + 1
            - size[i] - pads[i] - pads[i + 2])
        for i in (0, 1)
    )  # fmt: skip


def draw_pads(data, kernel):
    return tuple(data.draw(st.integers(0, kernel[i % 2] - 1)) for i in range(4))


@settings(max_examples=80, deadline=None)
@given(
    data=st.data(), seed=seeds, kernel=kernels, stride=strides, size=sizes,
    dilation=st.tuples(st.integers(1, 2), st.integers(1, 2)), ceil=st.booleans(),
)  # fmt: skip
def test_max_pool(data, seed, kernel, stride, size, dilation, ceil):
    pads = draw_pads(data, kernel)
    extents = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    assume(all(e <= s for e, s in zip(extents, size, strict=True)))
    x = np.random.default_rng(seed).standard_normal((2, 3, *size), np.float32) - 3
    theirs = run_node(
        "MaxPool", [x], kernel_shape=kernel, strides=stride, pads=pads, dilations=dilation,
        ceil_mode=int(ceil),
    )  # fmt: skip
    extra = ceil_pads(size, kernel, stride, pads, theirs.shape[2:], dilation)
    resolved = (pads[0], pads[1], pads[2] + extra[0], pads[3] + extra[1])
    op = MaxPool2d(name="y", kernel=kernel, stride=stride, pads=resolved, dilation=dilation)
    assert_same(evaluate(op, x), theirs, 0)


def test_max_pool_of_integers():
    x = np.array([-5, -7, -100, -3], np.int8).reshape(1, 1, 2, 2)
    op = MaxPool2d(name="y", kernel=(2, 2), stride=(2, 2), pads=(1, 1, 1, 1))
    assert evaluate(op, x).ravel().tolist() == [-5, -7, -100, -3]


@settings(max_examples=100, deadline=None)
@given(
    data=st.data(), seed=seeds, kernel=kernels, stride=strides, size=sizes, ceil=st.booleans(),
    include=st.booleans(), relu=st.booleans(),
)  # fmt: skip
def test_avg_pool(data, seed, kernel, stride, size, ceil, include, relu):
    pads = draw_pads(data, kernel)
    x = np.random.default_rng(seed).standard_normal((2, 3, *size), np.float32)
    theirs = run_node(
        "AveragePool", [x], kernel_shape=kernel, strides=stride, pads=pads,
        ceil_mode=int(ceil), count_include_pad=int(include),
    )  # fmt: skip
    extra = ceil_pads(size, kernel, stride, pads, theirs.shape[2:])
    op = AvgPool2d(
        name="y", kernel=kernel, stride=stride, ceil_pads=extra, count_include_pad=include,
        pads=(pads[0], pads[1], pads[2] + extra[0], pads[3] + extra[1]), relu=relu,
    )  # fmt: skip
    assert_same(evaluate(op, x), np.maximum(theirs, 0) if relu else theirs)


def test_global_average_pool():
    x = np.random.default_rng(2).standard_normal((2, 5, 7, 6), np.float32)
    assert_same(evaluate(AvgPool2d(name="y", kernel=(7, 6)), x), run_node("GlobalAveragePool", [x]))


def test_avg_pool_window_without_pixels_is_zero():
    x = np.ones((1, 1, 2, 2), np.float32)
    op = AvgPool2d(name="y", kernel=(1, 1), pads=(1, 0, 0, 0))
    assert evaluate(op, x)[0, 0].tolist() == [[0, 0], [1, 1], [1, 1]]


@pytest.mark.parametrize("keepdims", [True, False])
@pytest.mark.parametrize("method", ["mean", "max", "min", "sum", "l2"])
@pytest.mark.parametrize("axes", [(2, 3), (1,), (0, 2), (3,), (0, 1, 2, 3)])
def test_reduce(method, axes, keepdims):
    x = np.random.default_rng(5).standard_normal((2, 3, 4, 5), np.float32)
    kind = f"Reduce{method.title()}"
    theirs = run_node(kind, [x, np.array(axes, np.int64)], keepdims=int(keepdims))
    assert_same(evaluate(Reduce(name="y", method=method, axes=axes, keepdims=keepdims), x), theirs)


@pytest.mark.parametrize("axes", [(1,), (2, 3), (0, 1, 2, 3)])
@pytest.mark.parametrize("correction", [0, 1, 2])
@pytest.mark.parametrize("keepdims", [True, False])
def test_std(axes, correction, keepdims):
    x = np.random.default_rng(3).standard_normal((2, 3, 4, 5), np.float32) + 30
    op = Std(name="y", axes=axes, correction=float(correction), keepdims=keepdims)
    want = np.std(x.astype(np.float64), axes, ddof=correction, keepdims=keepdims)
    assert_same(evaluate(op, x), want.astype(np.float32))


_COORDINATES = ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"]
_NEAREST = ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]


@settings(max_examples=150, deadline=None)
@given(
    seed=seeds, size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    out=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    mode=st.sampled_from(["nearest", "linear"]), coordinates=st.sampled_from(_COORDINATES),
    nearest=st.sampled_from(_NEAREST),
)  # fmt: skip
def test_resize_to_sizes(seed, size, out, mode, coordinates, nearest):
    x = np.random.default_rng(seed).standard_normal((1, 2, *size), np.float32)
    theirs = run_node(
        "Resize", [x, None, None, np.array([1, 2, *out], np.int64)], mode=mode,
        coordinate_transformation_mode=coordinates, nearest_mode=nearest,
    )  # fmt: skip
    op = Resize(
        name="y", size=out, scales=(out[0] / size[0], out[1] / size[1]), mode=mode,
        coordinates=coordinates, nearest_mode=nearest,
    )  # fmt: skip
    assert_same(evaluate(op, x), theirs)


@settings(max_examples=100, deadline=None)
@given(
    seed=seeds, size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    scales=st.tuples(*[st.sampled_from([0.25, 0.5, 0.7, 1.0, 1.5, 2.0, 2.5, 3.0, 3.3])] * 2),
    mode=st.sampled_from(["nearest", "linear"]),
    coordinates=st.sampled_from(_COORDINATES), nearest=st.sampled_from(_NEAREST),
)  # fmt: skip
def test_resize_by_scales(seed, size, scales, mode, coordinates, nearest):
    assume(all(int(s * f) for s, f in zip(size, scales, strict=True)))
    x = np.random.default_rng(seed).standard_normal((1, 2, *size), np.float32)
    theirs = run_node(
        "Resize", [x, None, np.array([1, 1, *scales], np.float32)], mode=mode,
        coordinate_transformation_mode=coordinates, nearest_mode=nearest,
    )  # fmt: skip
    op = Resize(
        name="y", size=theirs.shape[2:], scales=scales, mode=mode, coordinates=coordinates,
        nearest_mode=nearest,
    )  # fmt: skip
    assert_same(evaluate(op, x), theirs)


X = np.zeros((1, 2, 4, 4), np.float32)


@pytest.mark.parametrize(
    ("op", "why"),
    [
        (MaxPool2d(name="p", kernel=(5, 5)), "does not fit into"),
        (MaxPool2d(name="p", kernel=(0, 1)), "kernel must be positive"),
        (MaxPool2d(name="p", kernel=(1, 1), pads=(-1, 0, 0, 0)), "pads must not be negative"),
        (AvgPool2d(name="p", kernel=(2, 2), ceil_pads=(1, 0)), "exceed pads"),
        (Reduce(name="p", method="prod", axes=(1,)), "not one of mean"),
        (Reduce(name="p", method="sum", axes=(4,)), "do not fit"),
        (Reduce(name="p", method="sum", axes=(2, 1)), "do not fit"),
        (Std(name="p", axes=(2, 1)), "do not fit"),
        (Std(name="p", axes=()), "no axes"),
        (Std(name="p", axes=(1,), correction=2.0), "correction 2.0 does not fit 2 elements"),
        (Resize(name="p", size=(0, 4), scales=(1.0, 1.0)), "size must be positive"),
        (Resize(name="p", size=(4, 4), scales=(0.0, 1.0)), "scales must be positive"),
        (Resize(name="p", size=(4, 4), scales=(1.0, 1.0), mode="cubic"), "'cubic' is not one of"),
    ],
)
def test_attributes_that_do_not_fit(op, why):
    with pytest.raises(ModelError, match=why):
        evaluate(op, X)
