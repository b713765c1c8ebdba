"""Random quantised networks: branches, aliases, casts, CPU functions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cvi.ir import Array, DType, Graph, Input, Op, TensorType
from cvi.ops import Concat, Pad, Permute, Reshape, Slice, Tile, Upsample
from cvi_tpu.quantized.ops import (
    CpuSoftmax,
    Dequantize,
    Int8Add,
    Int8Lut,
    Int8MaxPool2d,
    Int8Requant,
    Quantize,
)

Rng = np.random.Generator
SCALE = 0.5


class Builder:
    """Grows a graph op by op from values that fit."""

    def __init__(self, seed: int, inputs: int) -> None:
        self.rng, self.graph = np.random.default_rng(seed), Graph(f"net{seed}")
        for i in range(inputs):
            shape = (1, int(self.rng.integers(1, 40)), *map(int, self.rng.integers(1, 12, 2)))
            dtype = DType.FP32 if self.rng.random() < 0.3 else DType.INT8
            scale = SCALE if dtype is DType.INT8 else None
            self.graph.add(Input(name=f"in{i}", type=TensorType(shape, dtype, scale)))

    def pick(self, fits: Callable[[Op], bool]) -> Op | None:
        """A random value that fits, later ones more often."""
        found = [op for op in self.graph.ops if fits(op)]
        if not found:
            return None
        return found[min(int(len(found) * self.rng.random() ** 0.5), len(found) - 1)]

    def grow(self, kind: str) -> None:
        """One more op of that kind, if there is an operand for it."""
        name = f"{kind}{len(self.graph.ops)}"
        getattr(self, f"_{kind}")(name)

    def _add(self, op: Op) -> None:
        self.graph.add(op)

    # -- compute --

    def _requant(self, name: str) -> None:
        if x := self.pick(is_int8):
            m = int(self.rng.integers(2**30, 2**31))
            self._add(
                Int8Requant(name=name, inputs=(x.name,), weight=1, multiplier=m, shift=0,
                            relu=bool(self.rng.random() < 0.3), out_scale=SCALE)
            )  # fmt: skip

    def _lut(self, name: str) -> None:
        if x := self.pick(is_int8):
            table = self.rng.integers(-128, 128, 256).astype(np.int8)
            key = self.graph.constant(f"{name}_table", table)
            self._add(Int8Lut(name=name, inputs=(x.name, key), out_scale=SCALE))

    def _sum(self, name: str) -> None:
        if x := self.pick(is_int8):
            y = self.pick(lambda op: is_int8(op) and op.type.shape == x.type.shape)
            assert y is not None
            self._add(
                Int8Add(name=name, inputs=(x.name, y.name), multipliers=(60, -50), shift=6,
                        out_scale=SCALE)
            )  # fmt: skip

    def _pool(self, name: str) -> None:
        x = self.pick(lambda op: is_int8(op) and len(op.type.shape) == 4)
        if x is not None and min(x.type.shape[2:]) >= 2:
            self._add(
                Int8MaxPool2d(name=name, inputs=(x.name,), kernel=(2, 2), stride=(1, 1),
                              pads=(0, 1, 1, 0), out_scale=SCALE)
            )  # fmt: skip

    # -- movement, of integers and of floats --

    def _reshape(self, name: str) -> None:
        if x := self.pick(small):
            shape = list(x.type.shape)
            if len(shape) > 2 and self.rng.random() < 0.5:
                shape[-2:] = [shape[-2] * shape[-1]]
            elif len(shape) < 6:
                shape.insert(int(self.rng.integers(0, len(shape) + 1)), 1)
            self._add(Reshape(name=name, inputs=(x.name,), shape=tuple(shape)))

    def _permute(self, name: str) -> None:
        if x := self.pick(small):
            order = tuple(int(i) for i in self.rng.permutation(len(x.type.shape)))
            self._add(Permute(name=name, inputs=(x.name,), order=order))

    def _slice(self, name: str) -> None:
        if x := self.pick(small):
            shape = x.type.shape
            starts = [0] * len(shape)
            sizes, steps = list(shape), [1] * len(shape)
            axis = int(self.rng.integers(0, len(shape)))
            starts[axis] = int(self.rng.integers(0, shape[axis]))
            steps[axis] = int(self.rng.choice([1, 1, 1, 2]))
            most = (shape[axis] - starts[axis] - 1) // steps[axis] + 1
            sizes[axis] = int(self.rng.integers(1, most + 1))
            self._add(
                Slice(name=name, inputs=(x.name,), starts=tuple(starts), sizes=tuple(sizes),
                      steps=tuple(steps))
            )  # fmt: skip

    def _concat(self, name: str) -> None:
        if x := self.pick(lambda op: op.type.elements < 8000):
            axis = int(self.rng.integers(0, len(x.type.shape)))
            others = [
                op.name
                for op in self.graph.ops
                if op.type.dtype is x.type.dtype and _same_but(op, x, axis)
            ]
            count = int(self.rng.integers(1, 4))
            names = [str(n) for n in self.rng.choice(others, count)]
            if x.type.dtype is DType.INT8 and self.rng.random() < 0.2:
                data = self.rng.integers(-128, 128, x.type.shape).astype(np.int8)
                names.append(self.graph.constant(f"{name}_const", data))
            self._add(Concat(name=name, inputs=tuple(names), axis=axis))

    def _pad(self, name: str) -> None:
        if x := self.pick(small):
            before = tuple(int(v) for v in self.rng.integers(0, 2, len(x.type.shape)))
            mode = str(self.rng.choice(["constant", "edge"]))
            value = float(self.rng.choice([0.0, SCALE, 0.3]))
            self._add(
                Pad(name=name, inputs=(x.name,), before=before, after=before, mode=mode,
                    value=value)
            )  # fmt: skip

    def _tile(self, name: str) -> None:
        x = self.pick(lambda op: op.type.elements < 500)
        if x is not None:
            repeats = tuple(int(v) for v in self.rng.integers(1, 3, len(x.type.shape)))
            self._add(Tile(name=name, inputs=(x.name,), repeats=repeats))

    def _upsample(self, name: str) -> None:
        x = self.pick(lambda op: small(op) and len(op.type.shape) == 4)
        if x is not None:
            self._add(Upsample(name=name, inputs=(x.name,), factors=(2, 1)))

    # -- casts and CPU functions --

    def _quantize(self, name: str) -> None:
        if x := self.pick(is_float):
            self._add(Quantize(name=name, inputs=(x.name,), scale=1 / SCALE))

    def _dequantize(self, name: str) -> None:
        if x := self.pick(is_int8):
            self._add(Dequantize(name=name, inputs=(x.name,), scale=SCALE))

    def _softmax(self, name: str) -> None:
        if x := self.pick(is_float):
            axis = int(self.rng.integers(0, len(x.type.shape)))
            self._add(CpuSoftmax(name=name, inputs=(x.name,), axis=axis))


MOVES = ["reshape", "permute", "slice", "concat", "concat", "pad", "tile", "upsample"]
COMPUTE = ["requant", "lut", "sum", "sum", "pool"]
CASTS = ["quantize", "dequantize"]


def is_int8(op: Op) -> bool:
    return op.type.dtype is DType.INT8 and op.type.elements < 20_000


def is_float(op: Op) -> bool:
    return op.type.dtype is DType.FP32


def small(op: Op) -> bool:
    return op.type.elements < 20_000


def _same_but(op: Op, other: Op, axis: int) -> bool:
    mine, theirs = list(op.type.shape), list(other.type.shape)
    if len(mine) != len(theirs):
        return False
    mine[axis] = theirs[axis] = 0
    return mine == theirs and op.type.elements < 8000


def random_network(
    seed: int, *, size: int = 14, softmax: bool = False
) -> tuple[Graph, dict[str, Array]]:
    """A random graph and random inputs for it."""
    rng = np.random.default_rng(seed)
    builder = Builder(seed, int(rng.integers(1, 4)))
    kinds = MOVES + COMPUTE + CASTS + (["softmax"] if softmax else [])
    for _ in range(size):
        builder.grow(str(rng.choice(kinds)))
    graph = builder.graph
    layers = [op.name for op in graph.ops if not isinstance(op, Input)] or ["in0"]
    last = [op.name for op in graph.ops if not graph.users()[op.name]]
    extra = [str(n) for n in rng.choice(layers, int(rng.integers(0, 3)))]
    outputs = [n for n in dict.fromkeys([*last, *extra]) if not isinstance(graph[n], Input)]
    graph.outputs = tuple(outputs or layers[-1:])
    feeds = {op.name: _array(rng, op.type) for op in graph.inputs}
    return graph, feeds


def _array(rng: Rng, type: TensorType) -> Array:
    if type.dtype is DType.FP32:
        return (rng.standard_normal(type.shape) * 30).astype(np.float32)
    return rng.integers(-128, 128, type.shape).astype(np.int8)
