"""Ops that only move elements: they mean the same for every element type.

The quantised floor uses these classes unchanged; a result has the element type and
the scale of its operand.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from cvi.ir import Array, DType, Op, Shape, TensorType
from cvi.ops.check import Types, not_negative, operands, per_dimension, positive, rank, require

_MANY = 1 << 16
_PAD_MODES = ("constant", "edge", "reflect")


@dataclass(frozen=True, kw_only=True)
class Movement(Op):
    """Base of the ops that only move elements: `shape_of` and `move` say how."""

    def infer(self, inputs: Types) -> TensorType:
        (x,) = operands(self, inputs, 1)
        return x.with_shape(self.shape_of(x))

    def evaluate(self, *inputs: Array | None) -> Array:
        (x,) = inputs
        assert x is not None
        return self.move(x)

    def shape_of(self, x: TensorType) -> Shape:
        """Shape of the result; ModelError when the operand does not fit."""
        raise NotImplementedError

    def move(self, x: Array) -> Array:
        """The result's array, possibly a view of x."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Reshape(Movement):
    """The same elements in row-major order with another shape (all dims positive)."""

    shape: tuple[int, ...]

    def shape_of(self, x: TensorType) -> Shape:
        positive(self, "shape", self.shape)
        fits = math.prod(self.shape) == x.elements
        require(self, fits, f"{x} cannot take the shape {self.shape}")
        return self.shape

    def move(self, x: Array) -> Array:
        return x.reshape(self.shape)


@dataclass(frozen=True, kw_only=True)
class Permute(Movement):
    """numpy.transpose with `order`."""

    order: tuple[int, ...]

    def shape_of(self, x: TensorType) -> Shape:
        fits = sorted(self.order) == list(range(len(x.shape)))
        require(self, fits, f"order {self.order} is no permutation of the dimensions of {x}")
        return tuple(x.shape[i] for i in self.order)

    def move(self, x: Array) -> Array:
        return np.ascontiguousarray(x.transpose(self.order))


@dataclass(frozen=True, kw_only=True)
class Concat(Movement):
    """Operands joined along `axis` (non-negative).

    The scale is that of the first operand which has one: constants have none.
    """

    axis: int = 1

    def infer(self, inputs: Types) -> TensorType:
        first, *others = types = operands(self, inputs, 1, _MANY)
        require(self, 0 <= self.axis < len(first.shape), f"{first} has no axis {self.axis}")
        for t in others:
            require(
                self,
                t.dtype is first.dtype and self._other_dims(t) == self._other_dims(first),
                f"cannot join {first} and {t} along axis {self.axis}",
            )
        joined = sum(t.shape[self.axis] for t in types)
        scaled = next((t for t in types if t.scale is not None), first)
        return scaled.with_shape((*first.shape[: self.axis], joined, *first.shape[self.axis + 1 :]))

    def _other_dims(self, t: TensorType) -> tuple[Shape, Shape]:
        return t.shape[: self.axis], t.shape[self.axis + 1 :]

    def evaluate(self, *inputs: Array | None) -> Array:
        return np.concatenate([x for x in inputs if x is not None], axis=self.axis)


@dataclass(frozen=True, kw_only=True)
class Slice(Movement):
    """x[start : start + size*step : step] in every dimension; steps are positive."""

    starts: tuple[int, ...]
    sizes: tuple[int, ...]
    steps: tuple[int, ...]

    def shape_of(self, x: TensorType) -> Shape:
        for label in ("starts", "sizes", "steps"):
            per_dimension(self, label, getattr(self, label), x)
        not_negative(self, "starts", self.starts)
        positive(self, "sizes", self.sizes)
        positive(self, "steps", self.steps)
        for dim, (start, size, step) in enumerate(
            zip(self.starts, self.sizes, self.steps, strict=True)
        ):
            last = start + (size - 1) * step
            require(self, last < x.shape[dim], f"reaches element {last} of dimension {dim} of {x}")
        return self.sizes

    def move(self, x: Array) -> Array:
        return x[
            tuple(
                slice(start, start + (size - 1) * step + 1, step)
                for start, size, step in zip(self.starts, self.sizes, self.steps, strict=True)
            )
        ]


@dataclass(frozen=True, kw_only=True)
class Reverse(Movement):
    """The elements along `axis` (non-negative) in the opposite order."""

    axis: int

    def shape_of(self, x: TensorType) -> Shape:
        require(self, 0 <= self.axis < len(x.shape), f"{x} has no axis {self.axis}")
        return x.shape

    def move(self, x: Array) -> Array:
        return np.flip(x, self.axis)


@dataclass(frozen=True, kw_only=True)
class Pad(Movement):
    """Padding: `before` and `after` per dimension (negative crops are Slices, not Pads).

    mode: constant (filled with `value`, a real number; on an integer tensor it is
    quantised by the tensor's scale), edge or reflect.
    """

    before: tuple[int, ...]
    after: tuple[int, ...]
    mode: str = "constant"
    value: float = 0.0

    def shape_of(self, x: TensorType) -> Shape:
        require(self, self.mode in _PAD_MODES, f"mode {self.mode!r} is not one of {_PAD_MODES}")
        for label, pads in (("before", self.before), ("after", self.after)):
            per_dimension(self, label, pads, x)
            not_negative(self, label, pads)
        if self.mode == "reflect":
            fits = all(
                max(b, a) < size or b == a == 0
                for b, a, size in zip(self.before, self.after, x.shape, strict=True)
            )
            require(self, fits, f"reflects more pixels than {x} has")
        return tuple(
            b + size + a for b, size, a in zip(self.before, x.shape, self.after, strict=True)
        )

    def move(self, x: Array) -> Array:
        width = tuple(zip(self.before, self.after, strict=True))
        if self.mode == "edge":
            return np.pad(x, width, "edge")
        if self.mode == "reflect":
            return np.pad(x, width, "reflect")
        return np.pad(x, width, constant_values=stored_value(self.value, self.type))


def stored_value(value: float, type: TensorType) -> Any:
    """How a real number is stored in a tensor of that type (a numpy scalar).

    Integers: divided by the scale, rounded half away from zero, moved by the zero point,
    saturated. BF16: the bit pattern after rounding half to even.
    """
    if type.dtype is DType.FP32:
        return np.float32(value)
    if type.dtype is DType.BF16:
        return _bf16_bits(value)
    if type.dtype is DType.BOOL:
        return np.bool_(value != 0)
    limits: np.iinfo[Any] = np.iinfo(type.dtype.numpy)
    steps = value / (type.scale or 1.0)
    if math.isnan(steps):
        steps = 0.0
    low, high = int(limits.min) - type.zero, int(limits.max) - type.zero
    bounded = min(max(steps, float(low)), float(high))
    rounded = int(math.copysign(math.floor(abs(bounded) + 0.5), bounded)) + type.zero
    clipped = min(max(rounded, int(limits.min)), int(limits.max))
    return np.array(clipped, type.dtype.numpy)[()]


def _bf16_bits(value: float) -> Any:
    with np.errstate(over="ignore"):
        bits = int(np.array(value, np.float32).view(np.uint32))
    if math.isnan(value):
        return np.uint16(0x7FC0)
    return np.uint16((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16)


@dataclass(frozen=True, kw_only=True)
class Upsample(Movement):
    """Nearest-neighbour upsampling of x[n,c,h,w] by whole factors (each pixel repeated)."""

    factors: tuple[int, int]

    def shape_of(self, x: TensorType) -> Shape:
        n, c, h, w = rank(self, x, 4)
        positive(self, "factors", self.factors)
        return n, c, h * self.factors[0], w * self.factors[1]

    def move(self, x: Array) -> Array:
        n, c, h, w = x.shape
        fy, fx = self.factors
        spread = np.broadcast_to(x[:, :, :, None, :, None], (n, c, h, fy, w, fx))
        return spread.reshape(n, c, h * fy, w * fx)


@dataclass(frozen=True, kw_only=True)
class PixelShuffle(Movement):
    """x[n,c*f*f,h,w] to [n,c,h*f,w*f].

    mode CRD: input channel = (c*f + dy)*f + dx; DCR: input channel = (dy*f + dx)*C + c.
    """

    factor: int
    mode: str = "CRD"

    def shape_of(self, x: TensorType) -> Shape:
        n, c, h, w = rank(self, x, 4)
        positive(self, "factor", (self.factor,))
        require(self, self.mode in ("CRD", "DCR"), f"mode {self.mode!r} is neither CRD nor DCR")
        fits = c % (self.factor**2) == 0
        require(self, fits, f"the channels of {x} do not divide by {self.factor}²")
        return n, c // self.factor**2, h * self.factor, w * self.factor

    def move(self, x: Array) -> Array:
        n, c, h, w = x.shape
        f = self.factor
        if self.mode == "CRD":
            split = x.reshape(n, c // f**2, f, f, h, w).transpose(0, 1, 4, 2, 5, 3)
        else:
            split = x.reshape(n, f, f, c // f**2, h, w).transpose(0, 3, 4, 1, 5, 2)
        return np.asarray(split).reshape(n, c // f**2, h * f, w * f)


@dataclass(frozen=True, kw_only=True)
class Tile(Movement):
    """The tensor repeated `repeats` times in each dimension (numpy.tile)."""

    repeats: tuple[int, ...]

    def shape_of(self, x: TensorType) -> Shape:
        per_dimension(self, "repeats", self.repeats, x)
        positive(self, "repeats", self.repeats)
        return tuple(size * r for size, r in zip(x.shape, self.repeats, strict=True))

    def move(self, x: Array) -> Array:
        return np.tile(x, self.repeats)
