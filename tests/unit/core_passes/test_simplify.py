"""All passes together: order, errors, and values of random graphs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import Builder, assert_same_values, picture

from cvi.errors import ModelError
from cvi.ir import Array, Graph, Op, TensorType
from cvi.ops import (
    Abs,
    Add,
    AvgPool2d,
    BatchNorm,
    Clip,
    Concat,
    Conv2d,
    ConvTranspose2d,
    Div,
    FullyConnected,
    HardSigmoid,
    MatMul,
    Max,
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
    Softmax,
    Softplus,
    Sub,
    Tanh,
)
from cvi.passes import SIMPLIFY, Pass, run_passes, simplify


def test_names_are_unique_and_requirements_run_before():
    names = [p.name for p in SIMPLIFY]
    assert len(set(names)) == len(names)
    for position, p in enumerate(SIMPLIFY):
        assert p.__doc__
        assert set(p.requires) <= set(names[:position]), p.name


class Grower:
    """Adds random ops to a graph of 4-D tensors."""

    def __init__(self, data: st.DataObject, seed: int) -> None:
        self.data, self.b = data, Builder(seed)
        self.count = 0
        self.values = [self.b.input(2, 4, 4, 4)]

    def pick(self, options):
        return self.data.draw(st.sampled_from(options))

    def grow(self, kind: type[Op], *inputs: str, **attributes) -> str:
        self.count += 1
        return self.b.op(kind, f"n{self.count}_{kind.__name__}", *inputs, **attributes)

    def step(self) -> None:
        recent = self.values[-3:]
        x = self.pick(recent)
        grow = self.pick(_STEPS)
        self.values.append(grow(self, x, self.b.graph.type_of(x).shape))


def _weights(g, x, s):
    w = g.b.random(s[1], s[1], 3, 3)
    y = g.grow(Conv2d, x, w, g.pick(["", g.b.random(s[1])]), pads=(1, 1, 1, 1))
    return y


def _transposed(g, x, s):
    return (
        g.grow(ConvTranspose2d, x, g.b.random(s[1], 2, 1, 1), "", group=2) if (s[1] % 2 == 0) else x
    )


def _batch_norm(g, x, s):
    c = s[1]
    parameters = [g.b.random(c) for _ in range(3)]
    return g.grow(BatchNorm, x, *parameters, g.b.const(g.b.rng.random(c) + 0.1))


def _scale(g, x, s):
    return g.grow(Scale, x, g.b.random(s[1]), g.b.random(s[1]))


def _arithmetic(g, x, s):
    shape = g.pick([(s[1], 1, 1), (1, s[1], 1, 1), (), (1,), (s[3],), s])
    values = g.b.const(g.b.rng.uniform(0.5, 2, shape))
    kind = g.pick([Add, Sub, Mul, Div, Max])
    swap = kind is not Div and g.pick([True, False])
    return g.grow(kind, *((values, x) if swap else (x, values)))


def _add(g, x, s):
    others = [v for v in g.values if g.b.graph.type_of(v).shape == s]
    return g.grow(g.pick([Add, Mul, Max]), x, g.pick(others))


def _activation(g, x, s):
    kind = g.pick(["relu", "relu6", "clip", "swish", "hardswish", "mish", "abs"])
    if kind in ("relu", "relu6"):
        return g.grow(Relu, x, maximum=None if kind == "relu" else 6.0)
    if kind == "clip":
        return g.grow(Clip, x, minimum=g.pick([0.0, -1.0]), maximum=3.0)
    if kind == "abs":
        return g.grow(Abs, x)
    gate = {
        "swish": lambda: g.grow(Sigmoid, x),
        "hardswish": lambda: g.grow(HardSigmoid, x, alpha=1 / 6),
        "mish": lambda: g.grow(Tanh, g.grow(Softplus, x)),
    }[kind]()
    return g.grow(Mul, x, gate)


def _pad_and_window(g, x, s):
    before, after = (0, 0, 1, 0), (0, 0, 1, 2)
    padded = g.grow(Pad, x, before=before, after=after, value=g.pick([0.0, 0.0, float("-inf")]))
    kind = g.pick(["conv", "max", "avg", "none"])
    if "inf" in str(g.b.graph[padded].value) or kind == "max":
        return g.grow(MaxPool2d, padded, kernel=(3, 3))
    if kind == "conv":
        return g.grow(Conv2d, padded, g.b.random(s[1], 1, 3, 3), "", group=s[1])
    if kind == "avg":
        pads = g.pick([(0, 0, 0, 0), (1, 1, 1, 1)])
        return g.grow(AvgPool2d, padded, kernel=(3, 3), pads=pads, count_include_pad=True)
    return padded


def _shapes(g, x, s):
    n, c, h, w = s
    flat = g.grow(Reshape, x, shape=(n, c, h * w))
    back = g.grow(Reshape, flat, shape=s)
    turned = g.grow(Permute, back, order=g.pick([(0, 1, 2, 3), (0, 1, 3, 2)]))
    return g.grow(Permute, turned, order=(0, 1, 3, 2))


def _shuffle(g, x, s):
    n, c, h, w = s
    if c % 4:
        return g.grow(Concat, x, x, axis=1)
    split = g.grow(Reshape, x, shape=(n, c // 4, 2, 2, h, w))
    order = g.pick([(0, 1, 4, 2, 5, 3), (0, 1, 5, 2, 4, 3)])
    return g.grow(Reshape, g.grow(Permute, split, order=order), shape=(n, c // 4, h * 2, w * 2))


def _pool(g, x, s):
    if s[2] < 2 or s[3] < 2:
        return x
    return g.grow(g.pick([MaxPool2d, AvgPool2d]), x, kernel=(2, 2), stride=(2, 2))


def _reduce(g, x, s):
    gate = g.grow(Reduce, x, method=g.pick(["mean", "max"]), axes=(2, 3))
    return g.grow(Mul, x, g.grow(Sigmoid, gate))


def _slice(g, x, s):
    sizes = g.pick([s, (s[0], max(1, s[1] // 2), *s[2:])])
    return g.grow(Slice, x, starts=(0,) * 4, sizes=sizes, steps=(1,) * 4)


def _resize(g, x, s):
    factors = g.pick([(1, 1), (2, 1)])
    size = (s[2] * factors[0], s[3] * factors[1])
    if size[0] > 16:
        return x
    coordinates = g.pick(["half_pixel", "asymmetric"])
    return g.grow(Resize, x, size=size, scales=factors, coordinates=coordinates)


_STEPS = [
    _weights, _weights, _transposed, _batch_norm, _batch_norm, _scale, _arithmetic, _arithmetic,
    _add, _activation, _activation, _pad_and_window, _shapes, _shuffle, _pool, _reduce, _slice,
    _resize,
]  # fmt: skip


def _head(g: Grower, x: str) -> str:
    c = g.b.graph.type_of(x).shape[1]
    flat = g.grow(Reduce, x, method="mean", axes=(2, 3), keepdims=False)
    product = g.grow(MatMul, flat, g.b.random(c, 5))
    biased = g.grow(Add, product, g.b.random(5))
    return g.grow(Softmax, g.grow(FullyConnected, biased, g.b.random(3, 5), ""), axis=1)


@settings(max_examples=150, deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**31), steps=st.integers(1, 14))
def test_random_graphs_keep_their_values(data, seed, steps):
    g = Grower(data, seed)
    for _ in range(steps):
        g.step()
    outputs = [g.pick(g.values[1:] or g.values), g.values[-1]]
    if g.pick([True, False]):
        outputs.append(_head(g, g.values[-1]))
    graph = g.b.done(*dict.fromkeys(o for o in outputs if o != "x"))
    if not graph.outputs:
        return
    before = picture(graph)
    after = simplify(graph)
    assert picture(graph) == before
    after.check()
    assert_same_values(graph, after, 2e-4)
    for p in SIMPLIFY:
        assert p.ensures(after) == []


def test_a_pass_ends_with_what_it_ensures():
    b = Builder()
    x = b.input(1, 4, 4, 4)
    y = b.op(Relu, "r", b.op(Scale, "s", b.op(Relu, "q", x), b.random(4), ""))
    graph = b.done(b.op(PixelShuffle, "p", b.op(Reshape, "i", y, shape=(1, 4, 4, 4)), factor=2))
    for p in SIMPLIFY:
        assert p.ensures(p.apply(graph)) == []
    broken = {p.name for p in SIMPLIFY if p.ensures(graph)}
    assert broken == {"remove-identities", "fuse-relu", "scale-to-conv"}


def test_report_names_the_passes_that_changed_something():
    b = Builder()
    x = b.input(2, 3)
    y = b.op(Reshape, "same", b.op(Add, "a", x, b.random(3)), shape=(2, 3))
    seen = []
    simplify(b.done(b.op(Relu, "r", y)), lambda name, graph: seen.append((name, len(graph.ops))))
    assert seen == [("remove-identities", 3), ("arithmetic-to-scale", 3), ("fuse-relu", 2)]


def test_a_graph_without_work_is_returned_as_it_is():
    b = Builder()
    graph = b.done(b.op(Sigmoid, "s", b.input(2)))
    assert simplify(graph) is graph


@dataclass(frozen=True, kw_only=True)
class Failing(Op):
    """Fails when it is evaluated."""

    user: bool = True

    def infer(self, inputs: object) -> TensorType:
        return TensorType((1,))

    def evaluate(self, *inputs: Array | None) -> Array:
        raise ModelError("boom", where=self.name, fix="mend it") if self.user else ValueError("bug")


class Turn(Pass):
    """Changes the name of the graph once."""

    name = "turn"

    def apply(self, graph: Graph) -> Graph:
        return graph if graph.name == "turned" else graph.replace(name="turned")


@pytest.mark.parametrize("user", [True, False])
def test_errors_name_the_passes_already_run(user):
    b = Builder()
    b.input(1)
    k = b.op(Failing, "f", b.const([1.0]), user=user)
    graph = b.done(b.op(Add, "y", k, k))
    expected = ModelError if user else RuntimeError
    with pytest.raises(expected, match=r"in pass fold-constants, after turn") as error:
        run_passes(graph, [Turn(), *SIMPLIFY])
    if user:
        assert (error.value.where, error.value.fix) == ("f", "mend it")


def test_long_chains_are_fast_and_do_not_recurse():
    b = Builder()
    y = b.input(1, 2)
    for i in range(3000):
        y = b.op(Scale, f"s{i}", y, b.const(np.ones(2) * 1.0001), "")
    after = simplify(b.done(y))
    assert len(after.ops) == 2
    assert_same_values(b.graph, after, 1e-3)
