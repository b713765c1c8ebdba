"""Random networks of the ops that move, cut, join and reduce, of tensors of any rank.

They are there for the order of dimensions: what layers hold, and where it is turned.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from tflite_models import SAME, Net, random

Shape = tuple[int, ...]
Known = tuple[int, Shape]
"""A tensor of the network and its shape."""

MOST_ELEMENTS = 3000
MOST_DIMENSIONS = 5
STARTS: tuple[Shape, ...] = (
    (1, 6, 4, 3), (2, 3, 4, 2), (1, 4, 6), (2, 12), (1, 2, 3, 2, 2), (1, 4, 4, 8),
)  # fmt: skip


@dataclass
class Growing:
    """A network under construction; `step` adds an op to one of the last tensors."""

    rng: Random
    net: Net = field(default_factory=Net)
    known: list[Known] = field(default_factory=list)

    def start(self) -> None:
        shape = self.rng.choice(STARTS)
        self.known.append((self.net.input(*shape), shape))

    def step(self) -> None:
        x, shape = self.rng.choice(self.known[-3:])
        made = self.rng.choice(STEPS)(self, x, shape)
        if made is not None:
            self.known.append(made)

    def file(self) -> bytes:
        """All tensors that nobody reads are outputs."""
        read = {t for op in self.net.operators for t in op.inputs}
        idle = [t for t, _ in self.known[1:] if t not in read]
        return self.net.done(*(idle or [self.known[-1][0]]))


Step = Callable[[Growing, int, Shape], "Known | None"]


def _factors(n: int, parts: int, rng: Random) -> list[int]:
    """Random numbers whose product is n."""
    found, divisor = [1] * parts, 2
    while n > 1:
        while n % divisor == 0:
            found[rng.randrange(parts)] *= divisor
            n //= divisor
        divisor += 1
    return found


def reshape(g: Growing, x: int, shape: Shape) -> Known | None:
    """Anything, or one dimension divided, or two merged."""
    i, kind = g.rng.randrange(len(shape)), g.rng.randrange(4)
    new = _factors(math.prod(shape), g.rng.randint(1, MOST_DIMENSIONS), g.rng)
    if kind == 0:
        new = [*shape[:i], *_factors(shape[i], 2, g.rng), *shape[i + 1 :]]
    elif kind == 1 and i + 1 < len(shape):
        new = [*shape[:i], shape[i] * shape[i + 1], *shape[i + 2 :]]
    if len(new) > MOST_DIMENSIONS:
        return None
    return g.net.op("RESHAPE", x, g.net.const(new)), tuple(new)


def transpose(g: Growing, x: int, shape: Shape) -> Known | None:
    order = g.rng.sample(range(len(shape)), len(shape))
    if len(shape) == 4 and g.rng.random() < 0.4:
        order = g.rng.choice([[0, 3, 1, 2], [0, 2, 3, 1]])
    return g.net.op("TRANSPOSE", x, g.net.const(order)), tuple(shape[i] for i in order)


def function(g: Growing, x: int, shape: Shape) -> Known | None:
    if g.rng.random() < 0.2:
        return g.net.op("SOFTMAX", x, options="SoftmaxOptions", Beta=1.0), shape
    return g.net.op(g.rng.choice(["RELU", "TANH", "ABS"]), x), shape


def concat(g: Growing, x: int, shape: Shape) -> Known | None:
    axis = g.rng.randrange(len(shape))
    fitting = [
        (t, s) for t, s in g.known
        if len(s) == len(shape) and s[:axis] + s[axis + 1 :] == shape[:axis] + shape[axis + 1 :]
    ]  # fmt: skip
    other, s = g.rng.choice(fitting)
    result = (*shape[:axis], shape[axis] + s[axis], *shape[axis + 1 :])
    if math.prod(result) > MOST_ELEMENTS:
        return None
    return g.net.op("CONCATENATION", x, other, options="ConcatenationOptions", Axis=axis), result


def slice_(g: Growing, x: int, shape: Shape) -> Known | None:
    begin = [g.rng.randrange(n) for n in shape]
    size = [g.rng.randint(1, n - b) for n, b in zip(shape, begin, strict=True)]
    return g.net.op("SLICE", x, g.net.const(begin), g.net.const(size)), tuple(size)


def strided_slice(g: Growing, x: int, shape: Shape) -> Known | None:
    begin = [g.rng.randrange(n) for n in shape]
    end = [g.rng.randint(b + 1, n) for n, b in zip(shape, begin, strict=True)]
    steps = [g.rng.randint(1, 2) for _ in shape]
    single = {i for i in range(len(shape)) if g.rng.random() < 0.25}
    for i in single:
        end[i], steps[i] = begin[i] + 1, 1
    if len(single) == len(shape):
        return None
    y = g.net.op(
        "STRIDED_SLICE", x, *map(g.net.const, (begin, end, steps)), options="StridedSliceOptions",
        ShrinkAxisMask=sum(1 << i for i in single),
    )  # fmt: skip
    parts = zip(begin, end, steps, strict=True)
    sizes = [len(range(*part)) for part in parts]
    return y, tuple(n for i, n in enumerate(sizes) if i not in single)


def reduction(g: Growing, x: int, shape: Shape) -> Known | None:
    if not 2 <= len(shape) <= 4:
        return None
    axes = g.rng.sample(range(len(shape)), g.rng.randint(1, len(shape) - 1))
    keep, name = g.rng.random() < 0.5, g.rng.choice(["MEAN", "SUM", "REDUCE_MAX"])
    y = g.net.op(name, x, g.net.const(axes), options="ReducerOptions", KeepDims=keep)
    if keep:
        return y, tuple(1 if i in axes else n for i, n in enumerate(shape))
    return y, tuple(n for i, n in enumerate(shape) if i not in axes)


def pad(g: Growing, x: int, shape: Shape) -> Known | None:
    if len(shape) > 4:
        return None
    widths = [[g.rng.randint(0, 1), g.rng.randint(0, 1)] for _ in shape]
    sizes = tuple(n + sum(w) for n, w in zip(shape, widths, strict=True))
    return g.net.op("PAD", x, g.net.const(widths)), sizes


def arithmetic(g: Growing, x: int, shape: Shape) -> Known | None:
    """With another tensor, or with a constant, that broadcasts to x."""
    if len(shape) > 4:
        return None
    fitting = [
        t for t, s in g.known
        if len(s) <= len(shape)
        and all(a in (1, b) for a, b in zip(s[::-1], shape[::-1], strict=False))
    ]  # fmt: skip
    sizes = [n if g.rng.random() < 0.5 else 1 for n in shape][g.rng.randrange(len(shape)) :]
    other = g.rng.choice([*fitting, g.net.const(random(*sizes))])
    pair = g.rng.sample([x, other], 2)
    return g.net.op(g.rng.choice(["ADD", "MUL", "SUB"]), *pair), shape


def dense(g: Growing, x: int, shape: Shape) -> Known | None:
    keep = g.rng.random() < 0.5
    k, n = shape[-1] if keep else math.prod(shape[1:]), g.rng.randint(1, 6)
    y = g.net.op(
        "FULLY_CONNECTED", x, g.net.const(random(n, k)), g.net.const(random(n)),
        options="FullyConnectedOptions", KeepNumDims=keep,
    )  # fmt: skip
    return y, (*(shape[:-1] if keep else shape[:1]), n)


def convolution(g: Growing, x: int, shape: Shape) -> Known | None:
    if len(shape) != 4:
        return None
    n = g.rng.randint(1, 5)
    y = g.net.op(
        "CONV_2D", x, g.net.const(random(n, 2, 3, shape[3])), g.net.const(random(n)),
        options="Conv2DOptions", StrideH=1, StrideW=1, Padding=SAME,
    )  # fmt: skip
    return y, (*shape[:3], n)


def squeeze_or_expand(g: Growing, x: int, shape: Shape) -> Known | None:
    ones = [i for i, n in enumerate(shape) if n == 1]
    if ones and len(shape) > 1:
        i = g.rng.choice(ones)
        y = g.net.op("SQUEEZE", x, options="SqueezeOptions", SqueezeDims=(i,))
        return y, shape[:i] + shape[i + 1 :]
    if len(shape) == MOST_DIMENSIONS:
        return None
    i = g.rng.randrange(len(shape) + 1)
    return g.net.op("EXPAND_DIMS", x, g.net.const(i)), (*shape[:i], 1, *shape[i:])


def tile(g: Growing, x: int, shape: Shape) -> Known | None:
    repeats = [g.rng.choice([1, 1, 2]) for _ in shape]
    sizes = tuple(n * r for n, r in zip(shape, repeats, strict=True))
    if math.prod(sizes) > MOST_ELEMENTS:
        return None
    return g.net.op("TILE", x, g.net.const(repeats)), sizes


def parts(g: Growing, x: int, shape: Shape) -> Known | None:
    """SPLIT into halves, or UNPACK."""
    axis = g.rng.randrange(len(shape))
    count, rest = shape[axis], shape[:axis] + shape[axis + 1 :]
    if count % 2 == 0:
        half = (*shape[:axis], count // 2, *shape[axis + 1 :])
        made = g.net.op(
            "SPLIT", g.net.const(axis), x, options="SplitOptions", NumSplits=2, results=2
        )
        g.known.append((made[1], half))
        return made[0], half
    if not 1 < count <= 5 or not rest:
        return None
    made = g.net.op("UNPACK", x, options="UnpackOptions", Num=count, Axis=axis, results=count)
    g.known += [(t, rest) for t in made[1:]]
    return made[0], rest


def pack(g: Growing, x: int, shape: Shape) -> Known | None:
    if len(shape) == MOST_DIMENSIONS:
        return None
    other = g.rng.choice([t for t, s in g.known if s == shape])
    axis = g.rng.randrange(len(shape) + 1)
    y = g.net.op("PACK", x, other, options="PackOptions", ValuesCount=2, Axis=axis)
    return y, (*shape[:axis], 2, *shape[axis:])


def gather(g: Growing, x: int, shape: Shape) -> Known | None:
    axis = g.rng.randrange(len(shape))
    indices = [g.rng.randrange(shape[axis]) for _ in range(g.rng.randint(1, 4))]
    y = g.net.op("GATHER", x, g.net.const(indices), options="GatherOptions", Axis=axis)
    return y, (*shape[:axis], len(indices), *shape[axis + 1 :])


STEPS: tuple[Step, ...] = (
    reshape, reshape, transpose, transpose, function, concat, slice_, strided_slice, reduction,
    pad, arithmetic, arithmetic, dense, convolution, squeeze_or_expand, tile, parts, pack, gather,
)  # fmt: skip


def random_network(seed: int) -> bytes:
    """A file of 3 to 12 ops."""
    growing = Growing(Random(seed))
    growing.start()
    for _ in range(growing.rng.randint(3, 12)):
        growing.step()
    while len(growing.known) < 2:
        growing.step()
    return growing.file()
