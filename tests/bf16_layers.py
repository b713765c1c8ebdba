"""One small network for each kind of layer that BF16 computes, on an input x[1,4,8,8]."""

from __future__ import annotations

import numpy as np

from cvi import ops
from cvi.ir import Array, Op


def random(*shape: int, seed: int = 0, low: float = -1.0, high: float = 1.0) -> Array:
    return np.random.default_rng(seed).uniform(low, high, shape).astype(np.float32)


def _side_by_side(*parts: Op, before: float = 1.0) -> tuple[list[Op], dict[str, Array]]:
    """Functions of x times a number, one behind the other."""
    named = [op.with_(name=f"p{i}", inputs=("s",)) for i, op in enumerate(parts)]
    joined = ops.Concat(name="y", inputs=tuple(op.name for op in named), axis=1)
    scaled = ops.Mul(name="s", inputs=("x", "c"))
    return [scaled, *named, joined], {"c": np.float32([before])}


def _functions(*names: str, before: float = 1.0) -> tuple[list[Op], dict[str, Array]]:
    parts = (ops.Elementary(name="", which=which) for which in names)
    return _side_by_side(*parts, before=before)


LAYERS: dict[str, tuple[list[Op], dict[str, Array]]] = {
    "conv": (
        [ops.Conv2d(name="y", inputs=("x", "w", "b"), pads=(1, 1, 1, 1), relu=True, relu_max=1.0)],
        {"w": random(6, 4, 3, 3), "b": random(6)},
    ),
    "padded": (
        [ops.Conv2d(name="y", inputs=("x", "w", ""), pads=(2, 2, 2, 2), pad_value=0.5)],
        {"w": random(6, 4, 3, 3)},
    ),
    "dilated": (
        [ops.Conv2d(name="y", inputs=("x", "w", ""), pads=(18,) * 4, dilation=(18, 18))],
        {"w": random(6, 4, 3, 3)},
    ),
    "transposed": (
        [ops.ConvTranspose2d(name="y", inputs=("x", "w", "b"), stride=(2, 2), pads=(1, 1, 1, 1))],
        {"w": random(4, 6, 4, 4), "b": random(6)},
    ),
    "scale": (
        [ops.Scale(name="y", inputs=("x", "s", "b"))], {"s": random(4), "b": random(4, seed=1)}
    ),
    "norm": (
        [ops.BatchNorm(name="y", inputs=("x", "g", "b", "m", "v"))],
        {"g": random(4), "b": random(4, seed=1), "m": random(4, seed=2),
         "v": random(4, low=0.5, high=2.0)},
    ),
    "dense": (
        [ops.Reshape(name="r", inputs=("x",), shape=(4, 64)),
         ops.FullyConnected(name="y", inputs=("r", "w", "b"), relu=True)],
        {"w": random(10, 64), "b": random(10)},
    ),
    "product": ([ops.MatMul(name="y", inputs=("x", "x"))], {}),
    "max": ([ops.MaxPool2d(name="y", inputs=("x",), kernel=(3, 3), pads=(1, 1, 1, 1))], {}),
    "mean": (
        [ops.AvgPool2d(name="y", inputs=("x",), kernel=(3, 3), stride=(2, 2), pads=(1, 1, 1, 1))],
        {},
    ),
    "sum": (
        [ops.Add(name="a", inputs=("x", "c"), relu=True),
         ops.Sub(name="y", inputs=("a", "x"), relu=True, relu_max=0.5)],
        {"c": random(4, 1, 1)},
    ),
    "number": (
        [ops.Mul(name="a", inputs=("c", "x")), ops.Add(name="y", inputs=("a", "c", "x"))],
        {"c": np.float32([0.75])},
    ),
    "extremes": (
        [ops.Max(name="a", inputs=("x", "c")), ops.Min(name="y", inputs=("d", "a"))],
        {"c": random(4, 8, 8, seed=5), "d": random(1, 4, 1, 8, seed=6)},
    ),
    "quotient": (
        [ops.Exp(name="e", inputs=("x",)), ops.Div(name="q", inputs=("x", "e")),
         ops.Div(name="y", inputs=("q", "c"))],
        {"c": random(8, low=0.5, high=2.0)},
    ),
    "slopes": ([ops.PRelu(name="y", inputs=("x", "s"))], {"s": random(4)}),
    "clip": ([ops.Clip(name="y", inputs=("x",), minimum=-0.3, maximum=0.6)], {}),
    "softmax": ([ops.Softmax(name="y", inputs=("x",), axis=1)], {}),
    "log softmax": ([ops.Softmax(name="y", inputs=("x",), axis=3, log=True)], {}),
    "l2": ([ops.SquarePower(name="y", inputs=("x",), exponent=0.5)], {}),
    "local response": (
        [ops.SquarePower(name="p", inputs=("x",), exponent=-0.75, size=3, scale=0.1, shift=1.0),
         ops.Mul(name="y", inputs=("x", "p"))],
        {},
    ),
    "instance norm": (
        [ops.InstanceNorm(name="y", inputs=("x", "g", "b"))],
        {"g": np.ones(4, np.float32), "b": np.zeros(4, np.float32)},
    ),
    "enlarged": (
        [ops.Resize(name="y", inputs=("x",), size=(16, 16), scales=(2.0, 2.0), mode="linear",
                    coordinates="half_pixel")],
        {},
    ),
    "resized": (
        [ops.Resize(name="y", inputs=("x",), size=(11, 5), scales=(11 / 8, 5 / 8), mode="linear",
                    coordinates="align_corners")],
        {},
    ),
    "weighted": (
        [ops.Neg(name="n", inputs=("x",)),
         ops.Add(name="y", inputs=("x", "n", "c"), coefficients=(1.0, 0.5, -2.0))],
        {"c": random(4, 1, 8)},
    ),
    "position": ([ops.ArgMax(name="y", inputs=("x",), axis=1)], {}),
    "position in blocks": (
        [ops.Upsample(name="u", inputs=("x",), factors=(7, 9)), ops.Neg(name="n", inputs=("u",)),
         ops.Reshape(name="r", inputs=("n",), shape=(4, 4032)),
         ops.ArgMax(name="y", inputs=("r",), axis=1, keepdims=False)],
        {},
    ),
    "reversed": ([ops.Reverse(name="y", inputs=("x",), axis=3)], {}),
    "layer norm": (
        [ops.LayerNorm(name="y", inputs=("x", "g", "b"), axis=2)],
        {"g": random(8, 8, low=0.5), "b": random(8, 8, seed=3)},
    ),
    "movement": (
        [ops.Upsample(name="u", inputs=("x",), factors=(2, 2)),
         ops.Permute(name="p", inputs=("u",), order=(0, 2, 1, 3)),
         ops.Concat(name="y", inputs=("p", "p"), axis=3)],
        {},
    ),
    "dilated max": (
        [ops.MaxPool2d(name="y", inputs=("x",), kernel=(3, 2), stride=(2, 1), pads=(2, 1, 2, 1),
                       dilation=(2, 3))],
        {},
    ),
    "mask of maxima": ([ops.PoolMask(name="y", inputs=("x",), size=(2, 3))], {}),
    "comparisons": _side_by_side(
        *(ops.Compare(name="", which=which, value=0.5) for which in ops.functions.COMPARISONS)
    ),
    "shrinks": _side_by_side(
        ops.Shrink(name="", threshold=0.5, bias=0.25), ops.Shrink(name="", threshold=0.5),
        ops.ThresholdedRelu(name="", threshold=0.5),
    ),
    "whole numbers": _functions("round", "floor", "ceil", "sign"),
    "angles": _functions("sin", "cos", before=4.0),
    "arcs": _functions("tan", "asin", "acos", "atan", "atanh", before=0.5),
    "hyperbolic": _functions("sinh", "cosh", "asinh", before=2.0),
    "mean of a large image": (
        [ops.Upsample(name="u", inputs=("x",), factors=(12, 12)),
         ops.Add(name="a", inputs=("u", "c")),
         ops.AvgPool2d(name="y", inputs=("a",), kernel=(96, 96), relu=True)],
        {"c": random(1, 4, 96, 96)},
    ),
    "largest of a long row": (
        [ops.Upsample(name="u", inputs=("x",), factors=(12, 13)),
         ops.Reshape(name="r", inputs=("u",), shape=(1, 1, 1, 4 * 96 * 104)),
         ops.MaxPool2d(name="y", inputs=("r",), kernel=(1, 4 * 96 * 104))],
        {},
    ),
    "uneven norm": (
        [ops.Upsample(name="u", inputs=("x",), factors=(11, 13)),
         ops.Slice(name="c", inputs=("u",), starts=(0, 0, 1, 2), sizes=(1, 2, 79, 101),
                   steps=(1, 1, 1, 1)),
         ops.LayerNorm(name="y", inputs=("c", "g", ""), axis=2)],
        {"g": random(79, 101, low=0.5)},
    ),
    "deviation": ([ops.Std(name="y", inputs=("x",), axes=(1, 3), correction=1.0)], {}),
    "lstm": (
        [ops.Reshape(name="s", inputs=("x",), shape=(8, 2, 16)),
         ops.Lstm(name="y", inputs=("s", "w", "r", "b"), direction="bidirectional")],
        {"w": random(2, 20, 16), "r": random(2, 20, 5, seed=1), "b": random(2, 40, seed=2)},
    ),
    "gru": (
        [ops.Reshape(name="s", inputs=("x",), shape=(8, 2, 16)),
         ops.Gru(name="y", inputs=("s", "w", "r", "b", "h"), direction="reverse", result="hidden",
                 linear_before_reset=False)],
        {"w": random(1, 15, 16), "r": random(1, 15, 5, seed=1), "b": random(1, 30, seed=2),
         "h": random(1, 2, 5, seed=4)},
    ),
}  # fmt: skip
