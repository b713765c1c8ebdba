"""Random movement ops on random data."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from cvi.ir import Array, DType, Graph, Input, Op, TensorType
from cvi.ops import Concat, Pad, Permute, PixelShuffle, Reshape, Reverse, Slice, Tile, Upsample

Shape = tuple[int, ...]
DTYPES = [DType.INT8] * 6 + [DType.UINT8, DType.INT16, DType.FP32, DType.FP32]


@st.composite
def shapes(draw: DrawFn, rank: int | None = None, most: int = 40_000) -> Shape:
    """Mostly small dims, some of size 1, one dim that may be long."""
    dims = rank or draw(st.integers(1, 6))
    sizes = [draw(st.sampled_from([1, 2, 3, 4, 5, 7, 8])) for _ in range(dims)]
    room = most // math.prod(sizes)
    if draw(st.booleans()) and room > 1:
        at = draw(st.integers(0, dims - 1))
        sizes[at] *= draw(
            st.sampled_from([f for f in (1, 2, 3, 11, 16, 37, 130, 700) if f <= room])
        )
    return tuple(sizes)


def tensor(draw: DrawFn, shape: Shape) -> TensorType:
    dtype = draw(st.sampled_from(DTYPES))
    return TensorType(shape, dtype, 0.5 if dtype is DType.INT8 else None)


@st.composite
def permutes(draw: DrawFn) -> tuple[list[TensorType], Op]:
    shape = draw(shapes())
    order = tuple(draw(st.permutations(range(len(shape)))))
    return [tensor(draw, shape)], Permute(name="y", order=order)


@st.composite
def wide_permutes(draw: DrawFn) -> tuple[list[TensorType], Op]:
    """Channels last from channels first, with sizes that need several tiles."""
    c = draw(st.sampled_from([2, 3, 16, 24, 85, 255, 513, 1200]))
    h, w = draw(st.integers(5, 40)), draw(st.integers(5, 60))
    shape, order = draw(
        st.sampled_from([((1, c, h, w), (0, 2, 3, 1)), ((2, h, w, c), (0, 3, 1, 2)),
                         ((1, 3, c, h, w), (0, 1, 3, 4, 2)), ((h, c, 1, w), (3, 1, 2, 0))])
    )  # fmt: skip
    return [TensorType(shape, DType.INT8, 0.5)], Permute(name="y", order=order)


@st.composite
def reshapes(draw: DrawFn) -> tuple[list[TensorType], Op]:
    shape = draw(shapes())
    new = tuple(draw(st.permutations(shape)))
    return [tensor(draw, shape)], Reshape(name="y", shape=new)


@st.composite
def concats(draw: DrawFn) -> tuple[list[TensorType], Op]:
    shape = draw(shapes(most=8000))
    axis = draw(st.integers(0, len(shape) - 1))
    first = tensor(draw, shape)
    sizes = draw(st.lists(st.integers(1, 9), min_size=1, max_size=4))
    types = [first.with_shape((*shape[:axis], n, *shape[axis + 1 :])) for n in sizes]
    return types, Concat(name="y", axis=axis)


@st.composite
def slices(draw: DrawFn) -> tuple[list[TensorType], Op]:
    shape = draw(shapes())
    starts = tuple(draw(st.integers(0, n - 1)) for n in shape)
    steps = tuple(draw(st.sampled_from([1, 1, 1, 2, 3])) for _ in shape)
    most = [(n - s - 1) // k + 1 for n, s, k in zip(shape, starts, steps, strict=True)]
    sizes = tuple(draw(st.integers(1, m)) for m in most)
    return [tensor(draw, shape)], Slice(name="y", starts=starts, sizes=sizes, steps=steps)


@st.composite
def reverses(draw: DrawFn) -> tuple[list[TensorType], Op]:
    shape = draw(shapes())
    return [tensor(draw, shape)], Reverse(name="y", axis=draw(st.integers(0, len(shape) - 1)))


@st.composite
def pads(draw: DrawFn) -> tuple[list[TensorType], Op]:
    shape = draw(shapes(most=8000))
    mode = draw(st.sampled_from(["constant", "constant", "edge", "reflect"]))
    limits = [n - 1 if mode == "reflect" else 4 for n in shape]
    before = tuple(draw(st.integers(0, min(3, limit))) for limit in limits)
    after = tuple(draw(st.integers(0, min(3, limit))) for limit in limits)
    value = draw(st.sampled_from([0.0, 0.0, 1.0, -3.5, 1e9]))
    op = Pad(name="y", before=before, after=after, mode=mode, value=value)
    return [tensor(draw, shape)], op


@st.composite
def tiles(draw: DrawFn) -> tuple[list[TensorType], Op]:
    shape = draw(shapes(most=4000))
    repeats = tuple(draw(st.sampled_from([1, 1, 2, 3])) for _ in shape)
    return [tensor(draw, shape)], Tile(name="y", repeats=repeats)


@st.composite
def pixel_shuffles(draw: DrawFn) -> tuple[list[TensorType], Op]:
    factor = draw(st.integers(1, 4))
    n, c, h, w = draw(shapes(rank=4, most=4000))
    mode = draw(st.sampled_from(["CRD", "DCR"]))
    op = PixelShuffle(name="y", factor=factor, mode=mode)
    return [tensor(draw, (n, c * factor * factor, h, w))], op


@st.composite
def upsamples(draw: DrawFn) -> tuple[list[TensorType], Op]:
    shape = draw(shapes(rank=4, most=4000))
    factors = (draw(st.integers(1, 3)), draw(st.integers(1, 4)))
    dtype = draw(st.sampled_from([DType.FP32, DType.INT16, DType.INT8]))
    return [TensorType(shape, dtype)], Upsample(name="y", factors=factors)


MOVEMENT: dict[str, SearchStrategy[tuple[list[TensorType], Op]]] = {
    "permute": permutes(),
    "wide_permute": wide_permutes(),
    "reshape": reshapes(),
    "concat": concats(),
    "slice": slices(),
    "reverse": reverses(),
    "pad": pads(),
    "tile": tiles(),
    "pixel_shuffle": pixel_shuffles(),
    "upsample": upsamples(),
}


def side_by_side(
    cases: list[tuple[list[TensorType], Op]], seed: int
) -> tuple[Graph, dict[str, Array]]:
    """A graph with every case of its own, and random inputs for it."""
    rng, graph, feeds = np.random.default_rng(seed), Graph("cases"), {}
    for i, (types, op) in enumerate(cases):
        names = tuple(f"x{i}_{j}" for j in range(len(types)))
        for name, type in zip(names, types, strict=True):
            graph.add(Input(name=name, type=type))
            feeds[name] = random_array(rng, type)
        graph.add(op.with_(name=f"y{i}", inputs=names))
    graph.outputs = tuple(f"y{i}" for i in range(len(cases)))
    return graph, feeds


def random_array(rng: np.random.Generator, type: TensorType) -> Array:
    """Random bytes; floats are finite, so that equality means equal bytes."""
    if type.dtype is DType.FP32:
        return rng.standard_normal(type.shape).astype(np.float32)
    limits = np.iinfo(type.dtype.numpy)
    return rng.integers(limits.min, limits.max + 1, type.shape).astype(type.dtype.numpy)
