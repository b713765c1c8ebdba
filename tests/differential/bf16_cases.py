"""Random cases for every BF16 kernel. They are small: both simulators add one product after
the other."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy
from tests.differential.kernel_cases import Case, Shape, reaches, seeds

from cvi.ir import Array, DType
from cvi_tpu.quantized import bf16
from cvi_tpu.quantized import ops as q
from cvi_tpu.quantized.ops.fp32_sums import PARTS

LANE_SHARE = 256
"""Weights of a pass take at most this many elements, so that they fit 2 KiB of a lane."""

INPUTS = 60
"""Input channels of a pass, for which the same holds on the chip of two lanes."""


def patterns(rng: np.random.Generator, *shape: int) -> Array:
    """BF16 numbers of several magnitudes."""
    values = rng.standard_normal(shape) * 2.0 ** rng.integers(-6, 3, shape)
    return bf16.encode(values.astype(np.float32))


@st.composite
def planes(draw: DrawFn, least: int = 1) -> tuple[int, int]:
    """Small, odd, and long and thin."""
    h, w = draw(
        st.sampled_from([(1, 1), (3, 5), (7, 7), (9, 13), (14, 14), (2, 60), (70, 1), (31, 17)])
    )
    return max(h, least), max(w, least)


@st.composite
def channels(draw: DrawFn, most: int = 70) -> int:
    """Below, at and above the lane counts of the chips."""
    return draw(st.one_of(st.sampled_from([1, 2, 8, 32, 33, 64]), st.integers(1, most)))


@st.composite
def convs(draw: DrawFn) -> Case:
    """Plain and grouped; the input channels in one pass or in several."""
    seed = draw(seeds)
    rng = np.random.default_rng(seed)
    h, w = draw(planes())
    group = draw(st.sampled_from([1, 1, 1, 2, 3]))
    ic, oc = (-(-draw(channels()) // group) * group for _ in range(2))
    kh, kw = draw(st.sampled_from([(1, 1), (1, 1), (3, 3), (3, 3), (1, 5), (2, 2)]))
    dilation = draw(st.sampled_from([(1, 1), (1, 1), (2, 3)]))
    pads = tuple(int(p) for p in rng.integers(0, draw(st.sampled_from([1, 2, 3])), 4))
    eh, ew = (kh - 1) * dilation[0] + 1, (kw - 1) * dilation[1] + 1
    h, w = max(h, eh - pads[0] - pads[2], 1), max(w, ew - pads[1] - pads[3], 1)
    stride = draw(st.sampled_from([(1, 1), (1, 1), (2, 2), (3, 1)]))
    assume(reaches(h, eh, stride[0], pads[0], pads[2]))
    assume(reaches(w, ew, stride[1], pads[1], pads[3]))
    most = LANE_SHARE // (kh * kw)
    step = draw(st.integers(1, most)) if ic // group > most or draw(st.booleans()) else 0
    attributes = {
        "stride": stride, "pads": pads, "dilation": dilation, "group": group,
        "relu": draw(st.booleans()), "step": step,
    }  # fmt: skip
    return Case(
        q.Bf16Conv2d,
        ((draw(st.sampled_from([1, 1, 2])), ic, h, w),),
        attributes,
        filters(draw, rng, (oc, ic // group, kh, kw)),
        seed,
        DType.BF16,
        tame=True,
    )


def filters(draw: DrawFn, rng: np.random.Generator, shape: Shape) -> dict[str, Array | None]:
    """Weights and, mostly, a bias."""
    bias = rng.standard_normal(shape[0]).astype(np.float32)
    return {"weight": patterns(rng, *shape), "bias": bias if draw(st.integers(0, 3)) else None}


@st.composite
def int8_weights(draw: DrawFn) -> Case:
    """Fully connected layers, mostly, whose weights are int8; in one pass or in several."""
    seed = draw(seeds)
    rng = np.random.default_rng(seed)
    taps = draw(st.sampled_from([(1, 1), (1, 1), (1, 1), (2, 3)]))
    rows, (h, w) = draw(st.sampled_from([1, 1, 3, 20])), draw(st.sampled_from([taps, taps, (3, 5)]))
    ic, oc = draw(channels(300)), draw(channels())
    group = 2 if ic % 2 == oc % 2 == 0 and ic > 2 and draw(st.booleans()) else 1
    most = min(LANE_SHARE // (taps[0] * taps[1]), INPUTS)
    step = draw(st.integers(1, most)) if ic // group > most or draw(st.booleans()) else 0
    weight = rng.integers(-128, 128, (oc, ic // group, *taps)).astype(np.int8)
    bias = filters(draw, rng, (oc, 1))["bias"]
    constants = {
        "weight": weight, "bias": bias, "scale": patterns(rng, oc), "zero": patterns(rng, oc),
    }  # fmt: skip
    attributes = {"relu": draw(st.booleans()), "step": step, "group": group}
    shape = (rows, ic, h, w)
    return Case(q.Bf16Conv2d, (shape,), attributes, constants, seed, DType.BF16, tame=True)


@st.composite
def fp32_sums(draw: DrawFn) -> Case:
    """Filters of the width of an image, of its height or of less; in one pass or in several."""
    seed = draw(seeds)
    rng = np.random.default_rng(seed)
    h, w = draw(planes())
    rows = draw(st.sampled_from([h, 1, min(h, 3)]))
    assume(rows * w <= LANE_SHARE)
    ic, oc = draw(channels()), draw(channels())
    most = LANE_SHARE // (rows * w)
    step = draw(st.integers(1, most)) if ic > most or draw(st.booleans()) else 0
    bias = patterns(rng, oc, PARTS) if draw(st.integers(0, 3)) else None
    constants = {"weight": patterns(rng, oc, ic, rows, w), "parts": bias}
    shape = (draw(st.sampled_from([1, 1, 3])), ic, h, w)
    return Case(q.Fp32Conv, (shape,), {"step": step}, constants, seed, DType.BF16, tame=True)


@st.composite
def depthwise(draw: DrawFn) -> Case:
    seed = draw(seeds)
    rng = np.random.default_rng(seed)
    c, (h, w) = draw(channels()), draw(planes())
    k = draw(st.sampled_from([(1, 1), (3, 3), (5, 5), (1, 3), (7, 2)]))
    pads = tuple(int(p) for p in rng.integers(0, draw(st.sampled_from([1, 2, 3])), 4))
    dilation = draw(st.sampled_from([(1, 1), (1, 1), (2, 1)]))
    eh, ew = (k[0] - 1) * dilation[0] + 1, (k[1] - 1) * dilation[1] + 1
    h, w = max(h, eh - pads[0] - pads[2], 1), max(w, ew - pads[1] - pads[3], 1)
    stride = draw(st.sampled_from([(1, 1), (2, 2), (1, 2)]))
    assume(reaches(h, eh, stride[0], pads[0], pads[2]))
    assume(reaches(w, ew, stride[1], pads[1], pads[3]))
    insert = draw(st.sampled_from([(0, 0), (0, 0), (1, 2)])) if stride == (1, 1) else (0, 0)
    attributes = {
        "stride": stride, "pads": pads, "dilation": dilation, "group": c, "insert": insert,
        "relu": draw(st.booleans()),
    }  # fmt: skip
    constants = filters(draw, rng, (c, 1, *k))
    return Case(q.Bf16Conv2d, ((1, c, h, w),), attributes, constants, seed, DType.BF16, True)


@st.composite
def deconvs(draw: DrawFn) -> Case:
    """Transposed convolutions: zeros inserted between the pixels."""
    seed = draw(seeds)
    rng = np.random.default_rng(seed)
    k = (draw(st.integers(1, 4)), draw(st.integers(1, 4)))
    h, w = draw(st.integers(k[0], 9)), draw(st.integers(k[1], 9))
    attributes = {
        "insert": (draw(st.integers(0, 3)), draw(st.integers(0, 3))),
        "pads": tuple(int(p) for p in rng.integers(0, 4, 4)),
        "relu": draw(st.booleans()),
    }
    ic, oc = draw(st.integers(1, 15)), draw(channels())
    constants = filters(draw, rng, (oc, ic, *k))
    return Case(q.Bf16Conv2d, ((1, ic, h, w),), attributes, constants, seed, DType.BF16, True)


@st.composite
def max_pools(draw: DrawFn) -> Case:
    kernel = (draw(st.integers(1, 5)), draw(st.integers(1, 5)))
    attributes = {
        "kernel": kernel,
        "stride": (draw(st.integers(1, 4)), draw(st.integers(1, 4))),
        "pads": tuple(draw(st.integers(0, kernel[i % 2] - 1)) for i in range(4)),
    }
    shape = (draw(st.sampled_from([1, 2])), draw(channels()), *draw(planes(least=5)))
    return Case(q.Bf16MaxPool2d, (shape,), attributes, seed=draw(seeds), dtype=DType.BF16)


@st.composite
def dilated_pools(draw: DrawFn) -> Case:
    """Maxima of strided parts; some windows lie between the pixels, some in padding only."""
    kernel = (draw(st.integers(1, 4)), draw(st.integers(1, 4)))
    dilation = (draw(st.integers(1, 4)), draw(st.sampled_from([2, 2, 3, 7])))
    extents = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    attributes = {
        "kernel": kernel,
        "stride": (draw(st.integers(1, 3)), draw(st.integers(1, 3))),
        "pads": tuple(draw(st.integers(0, min(extents[i % 2] - 1, 15))) for i in range(4)),
        "dilation": dilation,
    }
    h, w = draw(planes())
    shape = (
        draw(st.sampled_from([1, 2])),
        draw(channels()),
        max(h, extents[0]),
        max(w, extents[1]),
    )
    return Case(q.Bf16MaxPool2d, (shape,), attributes, seed=draw(seeds), dtype=DType.BF16)


@st.composite
def pool_masks(draw: DrawFn) -> Case:
    """Few different values or many; planes that blocks do not divide."""
    size = (draw(st.integers(1, 4)), draw(st.integers(1, 4)))
    shape = (draw(st.sampled_from([1, 1, 3])), draw(channels()), *draw(planes()))
    levels = draw(st.sampled_from([1, 3, 256, 256]))
    return Case(
        q.Bf16PoolMask, (shape,), {"size": size}, seed=draw(seeds), dtype=DType.BF16, levels=levels
    )


@st.composite
def avg_pools(draw: DrawFn) -> Case:
    h, w = draw(planes(least=4))
    kernel, stride, pads = (h, w), (1, 1), (0, 0, 0, 0)
    if draw(st.booleans()):
        kernel = (draw(st.integers(1, 4)), draw(st.integers(1, 4)))
        stride = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
        top, left = ((k - 1) // 2 for k in kernel)
        pads = (draw(st.integers(0, top)), draw(st.integers(0, left))) * 2
    attributes = {
        "kernel": kernel, "stride": stride, "pads": pads, "relu": draw(st.booleans()),
        "count_include_pad": draw(st.booleans()),
        "factors": tuple((n, 1 / n) for n in range(1, kernel[0] * kernel[1] + 1)),
    }  # fmt: skip
    shape = (1, draw(channels()), h, w)
    return Case(
        q.Bf16AvgPool2d, (shape,), attributes, seed=draw(seeds), dtype=DType.BF16, tame=True
    )


@st.composite
def shapes(draw: DrawFn, count: int) -> tuple[Shape, ...]:
    """Shapes of one rank (mostly 4) that broadcast to a common one."""
    if draw(st.sampled_from([True, False, False])):
        shape = tuple(draw(st.integers(1, 9)) for _ in range(draw(st.integers(1, 5))))
        return (shape,) * count
    full = (draw(st.sampled_from([1, 1, 3])), draw(channels()), *draw(planes()))
    kept = [(True,) * 4] + [draw(st.tuples(*[st.booleans()] * 4)) for _ in range(count - 1)]
    found = [tuple(d if k else 1 for k, d in zip(mask, full, strict=True)) for mask in kept]
    return tuple(draw(st.permutations(found)))


@st.composite
def binaries(draw: DrawFn) -> Case:
    kind = draw(st.sampled_from([q.Bf16Add, q.Bf16Sub, q.Bf16Mul, q.Bf16Max, q.Bf16Min]))
    relu = {"relu": draw(st.booleans())} if kind in (q.Bf16Add, q.Bf16Mul) else {}
    return Case(kind, draw(shapes(2)), relu, seed=draw(seeds), dtype=DType.BF16)


@st.composite
def with_numbers(draw: DrawFn) -> Case:
    kind = draw(
        st.sampled_from(
            [q.Bf16AddConstant, q.Bf16MulConstant, q.Bf16MaxConstant, q.Bf16MinConstant]
        )
    )
    value = draw(st.sampled_from([0.0, 1.0, -0.3, 6.0, 1e-3, -250.0]))
    return Case(kind, draw(shapes(1)), {"value": value}, seed=draw(seeds), dtype=DType.BF16)


@st.composite
def casts(draw: DrawFn) -> Case:
    kind, dtype, scaled = draw(
        st.sampled_from(
            [
                (q.Bf16FromInt8, DType.INT8, True),
                (q.Int8FromBf16, DType.BF16, True),
                (q.Bf16FromFp32, DType.FP32, False),
                (q.Fp32FromBf16, DType.BF16, False),
            ]
        )
    )
    attributes: dict[str, Any] = {}
    if scaled:
        zero = "out_zero" if kind is q.Int8FromBf16 else "zero"
        attributes[zero] = draw(st.sampled_from([0, -128, 7]))
        attributes["scale"] = draw(st.sampled_from([1.0, 0.0137, 25.4]))
    tame = kind is q.Int8FromBf16  # the chips' simulators differ from 2^64 on
    return Case(kind, draw(shapes(1)), attributes, seed=draw(seeds), dtype=dtype, tame=tame)


@st.composite
def tables(draw: DrawFn) -> Case:
    """Any tables, and those of functions."""
    seed = draw(seeds)
    rng = np.random.default_rng(seed)
    upper, lower = patterns(rng, 256), patterns(rng, 256)
    kind: type[q.Bf16Table] = q.Bf16Split
    attributes: dict[str, Any] = {"added": draw(st.booleans())}
    if draw(st.booleans()):
        kind = q.Bf16Interpolate
        scale, offset = draw(st.sampled_from([(8.0, 192.0), (16.0, 192.0), (8.0, 256.0)]))
        attributes = {"gated": draw(st.booleans()), "scale": scale, "offset": offset}
    constants = {"first": upper, "second": lower}
    return Case(kind, draw(shapes(1)), attributes, constants, seed, DType.BF16)


@st.composite
def products(draw: DrawFn) -> Case:
    """Matrices and stacks of them, in one pass or in several."""
    m, k, n = (draw(st.one_of(st.integers(1, 20), st.integers(20, 90))) for _ in range(3))
    lead = draw(st.sampled_from([((), ()), ((2,), (2,)), ((2, 3), (3,)), ((3,), ())]))
    small = k <= 32 and draw(st.booleans())
    attributes = {
        "lanes": 0,
        "step": 0 if small else draw(st.integers(1, 32)),
        "relu": draw(st.booleans()),
    }
    shapes = ((*lead[0], m, k), (*lead[1], k, n))
    return Case(q.Bf16MatMul, shapes, attributes, seed=draw(seeds), dtype=DType.BF16, tame=True)


BF16_KERNELS: dict[str, SearchStrategy[Case]] = {
    "conv": convs(),
    "int8_weights": int8_weights(),
    "fp32_sums": fp32_sums(),
    "depthwise": depthwise(),
    "deconv": deconvs(),
    "max_pool": max_pools(),
    "dilated_pool": dilated_pools(),
    "pool_mask": pool_masks(),
    "avg_pool": avg_pools(),
    "binary": binaries(),
    "number": with_numbers(),
    "cast": casts(),
    "table": tables(),
    "product": products(),
}
