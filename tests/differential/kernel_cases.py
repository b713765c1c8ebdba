"""Random cases for every compute kernel, stratified over what makes kernels hard."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from cvi.ir import Array, DType, Graph, Input, Op, TensorType
from cvi.ops import Upsample
from cvi_tpu.quantized import ops as q

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Case:
    """One op on random data of an element type. constants become the operands after the
    inputs. tame: of finite numbers, so small that no sum of products overflows. levels: how
    many different values inputs of one or two bytes have; 256 for any in BF16."""

    kind: type[Op]
    shapes: tuple[Shape, ...]
    attributes: Mapping[str, Any]
    constants: Mapping[str, Array | None] = field(default_factory=dict)
    seed: int = 0
    dtype: DType = DType.INT8
    tame: bool = False
    levels: int = 256

    def __str__(self) -> str:
        consts = {k: v.shape for k, v in self.constants.items() if v is not None}
        return f"{self.kind.__name__} {self.shapes} {dict(self.attributes)} {consts}"


def case_graph(
    cases: list[Case], *, name: str = "cases", lanes: int = 32
) -> tuple[Graph, dict[str, Array]]:
    """A graph with every case side by side, and random inputs for it. lanes: of the chip, for
    ops whose meaning depends on that."""
    graph, feeds = Graph(name), {}
    for i, case in enumerate(cases):
        rng = np.random.default_rng(case.seed)
        names = []
        for j, shape in enumerate(case.shapes):
            scale = 1.0 if case.dtype is DType.INT8 else None
            kind = TensorType(shape, case.dtype, scale)
            entry = graph.add(Input(name=f"x{i}_{j}", type=kind))
            feeds[entry.name] = random_array(rng, shape, case)
            names.append(entry.name)
        for key, array in case.constants.items():
            names.append("" if array is None else graph.constant(f"c{i}_{key}", array))
        known: dict[str, Any] = {"out_scale": 1.0} if issubclass(case.kind, q.Int8Op) else {}
        if "lanes" in case.attributes:
            known["lanes"] = lanes
        graph.add(case.kind(name=f"y{i}", inputs=tuple(names), **{**case.attributes, **known}))
    graph.outputs = tuple(f"y{i}" for i in range(len(cases)))
    return graph, feeds


def random_array(rng: np.random.Generator, shape: Shape, case: Case) -> Array:
    """Levels of int8; floats of many magnitudes, zeros among them, but for one case in
    eight that has all patterns there are, denormals and infinities too."""
    if case.dtype is DType.INT8:
        values = np.linspace(-128, 127, case.levels).astype(np.int8)
        return values[rng.integers(0, case.levels, shape)]
    if rng.integers(8) == 0:
        bits = rng.integers(0, 2**32, shape, dtype=np.uint32)
        if case.tame:
            bits &= np.uint32(0xCFFFFFFF)  # below 2^34
    else:
        spread = rng.integers(0, 12)
        real = rng.standard_normal(shape) * 2.0 ** rng.integers(-spread, spread + 1, shape)
        real[rng.random(shape) < 0.1] = 0
        bits = np.asarray(real, np.float32).view(np.uint32)
    if case.dtype is DType.BF16:
        patterns = np.asarray(bits >> 16).astype(np.uint16)
        few = patterns.reshape(-1)[: case.levels]
        return patterns if case.levels == 256 else rng.choice(few, shape)
    return np.asarray(bits).view(np.float32)


seeds = st.integers(0, 2**32 - 1)


def reaches(length: int, window: int, stride: int, before: int, after: int) -> bool:
    """Whether any window along a dimension covers a real element."""
    outputs = (length + before + after - window) // stride + 1
    starts = (i * stride - before for i in range(outputs))
    return any(s < length and s + window > 0 for s in starts)


@st.composite
def channels(draw: DrawFn, most: int = 130) -> int:
    """Below, at and above the lane count of 32."""
    return draw(st.one_of(st.integers(1, 31), st.sampled_from([32, 64, 96]), st.integers(33, most)))


@st.composite
def planes(draw: DrawFn, least: int = 1) -> tuple[int, int]:
    """Small, odd, long and thin, and larger than one lane's memory (32768 bytes)."""
    kind = draw(st.sampled_from(["small", "small", "odd", "odd", "thin", "large"]))
    if kind == "small":
        h, w = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    elif kind == "odd":
        h, w = draw(st.integers(5, 40)), draw(st.sampled_from([7, 13, 15, 17, 31, 33, 57]))
    elif kind == "thin":
        h, w = draw(st.integers(1, 3)), draw(st.integers(60, 400))
        h, w = draw(st.sampled_from([(h, w), (w, h)]))
    else:
        h, w = draw(st.integers(150, 230)), draw(st.integers(160, 230))
    return max(h, least), max(w, least)


def rates(rng: np.random.Generator, count: int, reach: int) -> dict[str, Array]:
    """Bias, multiplier and shift that bring sums of about `reach` terms into range."""
    bits = int(np.ceil(np.log2(reach * 127 * 40 / 100 + 1)))
    return {
        "bias": rng.integers(-(2**12), 2**12, count).astype(np.int32),
        "multiplier": rng.integers(2**30, 2**31, count).astype(np.uint32),
        "shift": np.clip(rng.integers(bits - 2, bits + 2, count), 0, 31).astype(np.uint8),
    }


@st.composite
def convs(draw: DrawFn) -> Case:
    seed = draw(seeds)
    rng = np.random.default_rng(seed)
    n = draw(st.sampled_from([1, 1, 1, 2, 4]))
    h, w = draw(planes())
    big = h * w > 20000
    group = draw(st.sampled_from([1, 1, 1, 2, 3]))
    ic = draw(channels(16 if big else 130)) if not big else draw(st.integers(1, 16))
    oc = draw(channels()) if not big else draw(st.integers(1, 40))
    ic, oc = -(-ic // group) * group, -(-oc // group) * group
    kh, kw = draw(st.sampled_from([(1, 1), (3, 3), (3, 3), (1, 5), (7, 3), (2, 2), (5, 5)]))
    dilation = draw(st.sampled_from([(1, 1), (1, 1), (2, 2), (1, 3)]))
    pad = draw(st.sampled_from([0, 1, 1, 2, 15]))
    pads = tuple(int(p) for p in rng.integers(0, pad + 1, 4))
    eh, ew = (kh - 1) * dilation[0] + 1, (kw - 1) * dilation[1] + 1
    h, w = max(h, eh - pads[0] - pads[2], 1), max(w, ew - pads[1] - pads[3], 1)
    stride = draw(st.sampled_from([(1, 1), (1, 1), (2, 2), (3, 1), (1, 4)]))
    assume(reaches(h, eh, stride[0], pads[0], pads[2]))
    assume(reaches(w, ew, stride[1], pads[1], pads[3]))
    reach = ic // group * kh * kw
    weight = rng.integers(-127, 128, (oc, ic // group, kh, kw)).astype(np.int8)
    return Case(
        q.Int8Conv2d,
        ((n, ic, h, w),),
        {
            "stride": stride, "pads": pads, "dilation": dilation, "group": group,
            "relu": draw(st.booleans()), "fill": draw(st.sampled_from([0, 0, 5, -128])),
        },
        {"weight": weight, **rates(rng, oc, reach)},
        seed,
    )  # fmt: skip


@st.composite
def deep_convs(draw: DrawFn) -> Case:
    """Many input channels: the reduction itself must be cut (fully connected layers)."""
    seed = draw(seeds)
    rng = np.random.default_rng(seed)
    ic = draw(st.sampled_from([700, 1281, 2048, 4096, 5000, 9216]))
    oc = draw(st.sampled_from([10, 33, 100, 257]))
    k = draw(st.sampled_from([1, 1, 1, 3])) if ic < 2000 else 1
    h = k + draw(st.integers(0, 3))
    n = draw(st.sampled_from([1, 1, 4]))
    weight = rng.integers(-127, 128, (oc, ic, k, k)).astype(np.int8)
    attributes = {"relu": draw(st.booleans())}
    constants = {"weight": weight, **rates(rng, oc, ic * k * k)}
    return Case(q.Int8Conv2d, ((n, ic, h, h),), attributes, constants, seed)


@st.composite
def depthwise(draw: DrawFn) -> Case:
    seed = draw(seeds)
    rng = np.random.default_rng(seed)
    h, w = draw(planes())
    c = draw(st.integers(1, 20)) if h * w > 20000 else draw(channels(200))
    k = draw(st.sampled_from([(1, 1), (3, 3), (5, 5), (7, 7), (1, 3), (9, 1)]))
    pads = tuple(int(p) for p in rng.integers(0, draw(st.sampled_from([1, 2, 3, 8])) + 1, 4))
    dilation = draw(st.sampled_from([(1, 1), (1, 1), (2, 3)]))
    h = max(h, (k[0] - 1) * dilation[0] + 1 - pads[0] - pads[2], 1)
    w = max(w, (k[1] - 1) * dilation[1] + 1 - pads[1] - pads[3], 1)
    weight = rng.integers(-127, 128, (c, 1, *k)).astype(np.int8)
    stride = draw(st.sampled_from([(1, 1), (2, 2), (1, 2)]))
    assume(reaches(h, (k[0] - 1) * dilation[0] + 1, stride[0], pads[0], pads[2]))
    assume(reaches(w, (k[1] - 1) * dilation[1] + 1, stride[1], pads[1], pads[3]))
    attributes = {
        "stride": stride, "pads": pads, "dilation": dilation, "group": c,
        "relu": draw(st.booleans()), "fill": draw(st.sampled_from([0, 0, -7])),
    }  # fmt: skip
    n = draw(st.sampled_from([1, 1, 3]))
    constants = {"weight": weight, **rates(rng, c, k[0] * k[1])}
    return Case(q.Int8Conv2d, ((n, c, h, w),), attributes, constants, seed)


@st.composite
def deconvs(draw: DrawFn) -> Case:
    """Transposed convolutions: zeros inserted between the pixels."""
    seed = draw(seeds)
    rng = np.random.default_rng(seed)
    h, w = draw(st.integers(1, 30)), draw(st.integers(1, 30))
    if draw(st.booleans()) and draw(st.booleans()):
        h, w = h + 60, w + 60
    insert = (draw(st.integers(0, 3)), draw(st.integers(0, 3)))
    k = (draw(st.integers(1, 5)), draw(st.integers(1, 5)))
    pads = tuple(int(p) for p in rng.integers(0, 5, 4))
    h = max(h, k[0])
    w = max(w, k[1])
    ic = draw(channels(64))
    group = draw(st.sampled_from([1, 1, ic]))
    oc = ic if group == ic else draw(channels(64))
    weight = rng.integers(-127, 128, (oc, ic // group, *k)).astype(np.int8)
    attributes = {"insert": insert, "pads": pads, "group": group, "relu": draw(st.booleans())}
    constants = {"weight": weight, **rates(rng, oc, ic // group * k[0] * k[1])}
    return Case(q.Int8Conv2d, ((1, ic, h, w),), attributes, constants, seed)


@st.composite
def max_pools(draw: DrawFn) -> Case:
    kernel = (draw(st.integers(1, 5)), draw(st.integers(1, 5)))
    stride = (draw(st.integers(1, 4)), draw(st.integers(1, 4)))
    pads = tuple(draw(st.integers(0, kernel[i % 2] - 1)) for i in range(4))
    h, w = draw(planes(least=5))
    c = draw(st.integers(1, 10)) if h * w > 20000 else draw(channels())
    n = draw(st.sampled_from([1, 1, 3]))
    attributes = {"kernel": kernel, "stride": stride, "pads": pads}
    return Case(q.Int8MaxPool2d, ((n, c, h, w),), attributes, seed=draw(seeds))


@st.composite
def dilated_pools(draw: DrawFn) -> Case:
    """Maxima of strided parts; some windows lie between the pixels, some in padding only."""
    kernel = (draw(st.integers(1, 4)), draw(st.integers(1, 4)))
    dilation = (draw(st.integers(1, 4)), draw(st.sampled_from([2, 2, 3, 7])))
    stride = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    extents = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    pads = tuple(draw(st.integers(0, min(extents[i % 2] - 1, 15))) for i in range(4))
    h, w = draw(planes())
    h, w = max(h, extents[0]), max(w, extents[1])
    c = draw(st.integers(1, 6)) if h * w > 20000 else draw(channels())
    shape = (draw(st.sampled_from([1, 1, 3])), c, h, w)
    attributes = {"kernel": kernel, "stride": stride, "pads": pads, "dilation": dilation}
    return Case(q.Int8MaxPool2d, (shape,), attributes, seed=draw(seeds))


@st.composite
def pool_masks(draw: DrawFn) -> Case:
    """Few different values, so that maxima tie; planes that blocks do not divide."""
    size = (draw(st.integers(1, 4)), draw(st.integers(1, 4)))
    h, w = (min(side, 100) for side in draw(planes()))  # a tile has many instructions
    big = h * w > 2000
    c = draw(st.integers(1, 3)) if big else draw(channels(70))
    shape = (1 if big else draw(st.sampled_from([1, 1, 3])), c, h, w)
    levels = draw(st.sampled_from([1, 3, 256, 256]))
    return Case(q.Int8PoolMask, (shape,), {"size": size}, seed=draw(seeds), levels=levels)


@st.composite
def avg_pools(draw: DrawFn) -> Case:
    whole = draw(st.booleans())
    h, w = draw(planes(least=4))
    pads: tuple[int, ...] = (0, 0, 0, 0)
    if whole:
        h, w = draw(st.integers(1, 20)), draw(st.integers(1, 20))
        kernel, stride = (h, w), (1, 1)
    else:
        kernel = (draw(st.integers(1, 4)), draw(st.integers(1, 4)))
        stride = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
        pads = tuple(draw(st.integers(0, (kernel[i % 2] - 1) // 2)) for i in range(4))
    c = draw(st.integers(1, 10)) if h * w > 20000 else draw(channels())
    seed = draw(seeds)
    rng = np.random.default_rng(seed)
    table = tuple(
        (count, int(rng.integers(1, 5)), int(rng.integers(2**30, 2**31)), int(np.log2(count) + 2))
        for count in range(1, kernel[0] * kernel[1] + 1)
    )
    attributes = {
        "kernel": kernel, "stride": stride, "pads": pads, "rates": table,
        "count_include_pad": draw(st.booleans()), "relu": draw(st.booleans()),
    }  # fmt: skip
    return Case(q.Int8AvgPool2d, ((1, c, h, w),), attributes, seed=seed)


@st.composite
def broadcast_shapes(draw: DrawFn, count: int) -> tuple[Shape, ...]:
    """Shapes of one rank (mostly 4) that broadcast to a common one."""
    if draw(st.sampled_from([True, False, False])):
        rank = draw(st.integers(1, 5))
        shape = tuple(draw(st.integers(1, 12)) for _ in range(rank))
        return (shape,) * count
    h, w = draw(planes())
    c = draw(st.integers(1, 8)) if h * w > 20000 else draw(channels())
    full = (draw(st.sampled_from([1, 1, 3])), c, h, w)
    if draw(st.booleans()):
        return (full,) * count
    masks = [(False,) * 4] + [
        draw(st.sampled_from([(False, False, True, True), (False, True, False, False),
                              (True, False, True, True), (False, False, True, False),
                              (False, False, False, True), (True, True, True, True)]))
        for _ in range(count - 1)
    ]  # fmt: skip
    shapes = [tuple(1 if m else d for m, d in zip(mask, full, strict=True)) for mask in masks]
    return tuple(draw(st.permutations(shapes)))


@st.composite
def adds(draw: DrawFn) -> Case:
    count = draw(st.sampled_from([2, 2, 2, 3]))
    most = 127 if count == 2 else 80
    multipliers = tuple(draw(st.integers(-most, most)) for _ in range(count))
    room = 32767 - 128 * sum(map(abs, multipliers[:-1]))
    attributes = {
        "multipliers": multipliers,
        "shift": draw(st.integers(4, 8)),
        "relu": draw(st.booleans()),
        "bias": draw(st.sampled_from([0, 0, room, -room]) | st.integers(-room, room)),
    }
    return Case(q.Int8Add, draw(broadcast_shapes(count)), attributes, seed=draw(seeds))


@st.composite
def muls(draw: DrawFn) -> Case:
    attributes = {
        "multiplier": draw(st.integers(2**30, 2**31 - 1)),
        "shift": draw(st.integers(3, 9)),
        "relu": draw(st.booleans()),
    }
    return Case(q.Int8Mul, draw(broadcast_shapes(2)), attributes, seed=draw(seeds))


@st.composite
def extremes(draw: DrawFn) -> Case:
    kind = draw(st.sampled_from([q.Int8Max, q.Int8Min]))
    return Case(kind, draw(broadcast_shapes(2)), {}, seed=draw(seeds))


@st.composite
def requants(draw: DrawFn) -> Case:
    attributes = {
        "weight": draw(st.sampled_from([1, 1, 2, 64, 127])),
        "multiplier": draw(st.integers(2**30, 2**31 - 1)),
        "shift": draw(st.integers(0, 8)),
        "relu": draw(st.booleans()),
    }
    return Case(q.Int8Requant, draw(broadcast_shapes(1)), attributes, seed=draw(seeds))


@st.composite
def clips(draw: DrawFn) -> Case:
    low = draw(st.sampled_from([-128, 0, -50]))
    attributes = {"minimum": low, "maximum": draw(st.sampled_from([127, 6, 100]))}
    return Case(q.Int8Clip, draw(broadcast_shapes(1)), attributes, seed=draw(seeds))


@st.composite
def luts(draw: DrawFn) -> Case:
    seed = draw(seeds)
    table = np.random.default_rng(seed).integers(-128, 128, 256).astype(np.int8)
    return Case(q.Int8Lut, draw(broadcast_shapes(1)), {}, {"table": table}, seed)


EXTENTS = st.one_of(st.integers(1, 40), st.sampled_from([64, 197, 257, 512, 700]))


@st.composite
def leads(draw: DrawFn) -> tuple[Shape, Shape]:
    """Leading dims of two batches of matrices, which broadcast to a common shape."""
    full = tuple(draw(st.integers(1, 4)) for _ in range(draw(st.integers(0, 3))))
    pairs = []
    for _ in range(2):
        shape = tuple(1 if draw(st.integers(0, 3)) == 0 else size for size in full)
        pairs.append(shape[draw(st.sampled_from([0, 0, 0, len(full)])) :])
    return pairs[0], pairs[1]


@st.composite
def matmuls(draw: DrawFn) -> Case:
    """Single rows, columns and products, and matrices larger than local memory."""
    large = draw(st.integers(0, 9)) == 9
    left, right = ((), ()) if large else draw(leads())
    m, n = draw(EXTENTS), draw(EXTENTS)
    k = draw(st.sampled_from([900, 1500, 4500])) if large else draw(EXTENTS)
    bits = int(np.ceil(np.log2(np.sqrt(k) * 50)))
    attributes = {
        "multiplier": draw(st.integers(2**30, 2**31 - 1)),
        "shift": draw(st.integers(bits, bits + 3)),
        "relu": draw(st.booleans()),
    }
    return Case(q.Int8MatMul, ((*left, m, k), (*right, k, n)), attributes, seed=draw(seeds))


@st.composite
def upsamples(draw: DrawFn) -> Case:
    factors = (draw(st.integers(1, 4)), draw(st.integers(1, 4)))
    shape = (draw(st.sampled_from([1, 2])), draw(channels()), draw(st.integers(1, 40)),
             draw(st.integers(1, 60)))  # fmt: skip
    return Case(Upsample, (shape,), {"factors": factors}, seed=draw(seeds))


KERNELS: dict[str, SearchStrategy[Case]] = {
    "conv": convs(),
    "deep_conv": deep_convs(),
    "depthwise": depthwise(),
    "deconv": deconvs(),
    "max_pool": max_pools(),
    "dilated_pool": dilated_pools(),
    "pool_mask": pool_masks(),
    "avg_pool": avg_pools(),
    "add": adds(),
    "mul": muls(),
    "max_min": extremes(),
    "requant": requants(),
    "clip": clips(),
    "lut": luts(),
    "matmul": matmuls(),
    "upsample": upsamples(),
}
