"""Movement ops: against onnxruntime, and the same for every element type."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx_reference import evaluate, run_node

from cvi.errors import ModelError
from cvi.ir import DType, Graph, Input, TensorType
from cvi.ops import Concat, Pad, Permute, PixelShuffle, Reshape, Reverse, Slice, Tile, Upsample
from cvi.ops.movement import stored_value

DTYPES = [np.float32, np.int8, np.uint8, np.uint16, np.int16, np.int32, np.int64, np.bool_]
shapes = st.lists(st.integers(1, 4), min_size=1, max_size=5).map(tuple)


def numbered(shape, dtype=np.float32):
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


@settings(max_examples=40, deadline=None)
@given(data=st.data(), shape=shapes)
def test_permute_and_reshape(data, shape):
    x = numbered(shape)
    order = tuple(data.draw(st.permutations(range(len(shape)))))
    y = evaluate(Permute(name="y", order=order), x)
    assert np.array_equal(y, run_node("Transpose", [x], perm=order))
    assert np.array_equal(
        evaluate(Reshape(name="y", shape=(x.size, 1)), y),
        run_node("Reshape", [y, np.array([x.size, 1], np.int64)]),
    )


@settings(max_examples=40, deadline=None)
@given(data=st.data(), shape=shapes)
def test_slice(data, shape):
    x = numbered(shape)
    starts = tuple(data.draw(st.integers(0, s - 1)) for s in shape)
    steps = tuple(data.draw(st.integers(1, 3)) for _ in shape)
    ends = tuple(data.draw(st.integers(a + 1, s)) for a, s in zip(starts, shape, strict=True))
    theirs = run_node(
        "Slice", [x, *(np.array(v, np.int64) for v in (starts, ends, range(len(shape)), steps))]
    )
    op = Slice(name="y", starts=starts, sizes=theirs.shape, steps=steps)
    assert np.array_equal(evaluate(op, x), theirs)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), shape=shapes, mode=st.sampled_from(["constant", "edge", "reflect"]))
def test_pad(data, shape, mode):
    x = numbered(shape)
    before, after = (
        tuple(data.draw(st.integers(0, s - 1 if mode == "reflect" else 3)) for s in shape)
        for _ in range(2)
    )
    amounts = np.array(before + after, np.int64)
    theirs = run_node("Pad", [x, amounts, np.float32(2.5)], mode=mode)
    op = Pad(name="y", before=before, after=after, mode=mode, value=2.5)
    assert np.array_equal(evaluate(op, x), theirs)


@settings(max_examples=30, deadline=None)
@given(data=st.data(), shape=shapes)
def test_concat_and_tile(data, shape):
    axis = data.draw(st.integers(0, len(shape) - 1))
    parts = []
    for size in data.draw(st.lists(st.integers(1, 3), min_size=1, max_size=4)):
        parts.append(numbered((*shape[:axis], size, *shape[axis + 1 :])))
    assert np.array_equal(
        evaluate(Concat(name="y", axis=axis), *parts), run_node("Concat", parts, axis=axis)
    )
    repeats = tuple(data.draw(st.integers(1, 3)) for _ in shape)
    x = numbered(shape)
    theirs = run_node("Tile", [x, np.array(repeats, np.int64)])
    assert np.array_equal(evaluate(Tile(name="y", repeats=repeats), x), theirs)


@settings(max_examples=20, deadline=None)
@given(data=st.data(), shape=shapes)
def test_reverse(data, shape):
    axis = data.draw(st.integers(0, len(shape) - 1))
    bounds = (np.array([v], np.int64) for v in (-1, -(2**31), axis, -1))
    x = numbered(shape)
    assert np.array_equal(
        evaluate(Reverse(name="y", axis=axis), x), run_node("Slice", [x, *bounds])
    )


@pytest.mark.parametrize("mode", ["CRD", "DCR"])
@pytest.mark.parametrize("factor", [1, 2, 3])
def test_pixel_shuffle(mode, factor):
    x = numbered((2, 2 * factor**2, 3, 4))
    theirs = run_node("DepthToSpace", [x], blocksize=factor, mode=mode)
    assert np.array_equal(evaluate(PixelShuffle(name="y", factor=factor, mode=mode), x), theirs)


def test_upsample():
    x = numbered((2, 3, 2, 3))
    theirs = run_node(
        "Resize", [x, None, np.array([1, 1, 3, 2], np.float32)], mode="nearest",
        coordinate_transformation_mode="asymmetric", nearest_mode="floor",
    )  # fmt: skip
    assert np.array_equal(evaluate(Upsample(name="y", factors=(3, 2)), x), theirs)


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: np.dtype(d).name)
def test_every_element_type_moves_alike(dtype):
    positions = numbered((1, 4, 2, 3), np.int64)
    table = np.random.default_rng(0).integers(0, 2 if dtype is np.bool_ else 100, 24).astype(dtype)
    for op in (
        Reshape(name="y", shape=(4, 6)),
        Permute(name="y", order=(0, 2, 3, 1)),
        Slice(name="y", starts=(0, 1, 0, 0), sizes=(1, 2, 2, 2), steps=(1, 2, 1, 2)),
        Pad(name="y", before=(0, 0, 1, 1), after=(0, 0, 0, 1), mode="reflect"),
        Upsample(name="y", factors=(2, 3)),
        PixelShuffle(name="y", factor=2),
        Tile(name="y", repeats=(1, 1, 2, 1)),
    ):
        assert np.array_equal(evaluate(op, table[positions]), table[evaluate(op, positions)])
    joined = evaluate(Concat(name="y", axis=0), table[positions], table[positions])
    assert np.array_equal(joined, table[np.concatenate([positions] * 2)])


def test_result_keeps_dtype_and_scale_of_the_first_operand():
    graph = Graph("g")
    kind = TensorType((1, 4, 2, 2), DType.INT8, 0.5)
    x = graph.add(Input(name="x", type=kind))
    other = graph.add(Input(name="o", type=TensorType((1, 4, 2, 2), DType.INT8, 0.25)))
    y = graph.add(Concat(name="y", inputs=(x.name, other.name)))
    assert y.type == TensorType((1, 8, 2, 2), DType.INT8, 0.5)
    z = graph.add(Permute(name="z", inputs=("y",), order=(3, 2, 1, 0)))
    assert z.type == TensorType((2, 2, 8, 1), DType.INT8, 0.5)
    padded = graph.add(
        Pad(name="p", inputs=("x",), before=(0,) * 4, after=(0, 0, 0, 1), value=-1.25)
    )
    row = padded.evaluate(np.zeros((1, 4, 2, 2), np.int8))[0, 0, 0]
    assert row.tolist() == [0, 0, -3]


@pytest.mark.parametrize(
    ("value", "dtype", "scale", "stored"),
    [
        (1.25, DType.INT8, 0.5, 3),
        (-1.25, DType.INT8, 0.5, -3),
        (1.2, DType.INT8, 0.5, 2),
        (1e9, DType.INT8, 0.5, 127),
        (-1e9, DType.INT8, 0.5, -128),
        (float("-inf"), DType.INT8, 0.5, -128),
        (float("inf"), DType.INT64, None, 2**63 - 1),
        (-3.0, DType.UINT8, None, 0),
        (7.0, DType.INT32, None, 7),
        (1.0, DType.BF16, None, 0x3F80),
        (1.00390625, DType.BF16, None, 0x3F80),
        (1.01171875, DType.BF16, None, 0x3F82),
        (float("-inf"), DType.BF16, None, 0xFF80),
        (2.0, DType.BOOL, None, True),
    ],
)
def test_stored_value(value, dtype, scale, stored):
    result = stored_value(value, TensorType((1,), dtype, scale))
    assert result == stored and np.asarray(result).dtype == dtype.numpy


X = numbered((1, 2, 3, 4))


@pytest.mark.parametrize(
    ("op", "why"),
    [
        (Reshape(name="m", shape=(5, 5)), "cannot take the shape"),
        (Reshape(name="m", shape=(-1, 24)), "must be positive"),
        (Permute(name="m", order=(0, 1, 2)), "no permutation"),
        (Permute(name="m", order=(0, 1, 2, 2)), "no permutation"),
        (Concat(name="m", axis=4), "no axis 4"),
        (Slice(name="m", starts=(0,), sizes=(1,), steps=(1,)), "has 1 entries"),
        (Slice(name="m", starts=(0,) * 4, sizes=(1, 2, 3, 5), steps=(1,) * 4), "element 4"),
        (Slice(name="m", starts=(0,) * 4, sizes=(1,) * 4, steps=(1, 1, 1, 0)), "steps"),
        (Reverse(name="m", axis=4), "no axis 4"),
        (Pad(name="m", before=(0,) * 4, after=(0, 0, 0, -1)), "must not be negative"),
        (Pad(name="m", before=(0,) * 4, after=(0,) * 4, mode="wrap"), "'wrap' is not one of"),
        (Pad(name="m", before=(0, 0, 3, 0), after=(0,) * 4, mode="reflect"), "reflects more"),
        (Upsample(name="m", factors=(0, 1)), "must be positive"),
        (PixelShuffle(name="m", factor=2), "do not divide"),
        (PixelShuffle(name="m", factor=1, mode="DRC"), "neither CRD nor DCR"),
        (Tile(name="m", repeats=(1, 1)), "has 2 entries"),
    ],
)
def test_attributes_that_do_not_fit(op, why):
    with pytest.raises(ModelError, match=why):
        evaluate(op, X)


def test_concat_operands_that_do_not_fit():
    with pytest.raises(ModelError, match="cannot join"):
        evaluate(Concat(name="m", axis=1), X, X[:, :, :2])
    with pytest.raises(ModelError, match="cannot join"):
        evaluate(Concat(name="m", axis=1), X, X.astype(np.int8))
