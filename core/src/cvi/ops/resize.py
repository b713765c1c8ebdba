"""Resizing of feature maps that is not a whole-factor nearest upsampling."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cvi.ir import Array, Op, TensorType
from cvi.ops.check import Types, floats, operands, positive, rank, require

_MODES = ("nearest", "linear")
_COORDINATES = ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric")
_NEAREST = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")


@dataclass(frozen=True, kw_only=True)
class Resize(Op):
    """x[n,c,h,w] to [n,c,*size].

    mode: nearest or linear. coordinates: half_pixel, pytorch_half_pixel, align_corners,
    asymmetric. nearest_mode: round_prefer_floor, round_prefer_ceil, floor, ceil.
    scales: the factors the source coordinates are computed with (size/input unless the
    model gives its own).
    """

    size: tuple[int, int]
    scales: tuple[float, float]
    mode: str = "nearest"
    coordinates: str = "half_pixel"
    nearest_mode: str = "round_prefer_floor"

    def infer(self, inputs: Types) -> TensorType:
        (x,) = operands(self, inputs, 1)
        if self.mode == "linear":
            floats(self, inputs)
        n, c, _, _ = rank(self, x, 4)
        positive(self, "size", self.size)
        usable = all(s > 0 and math.isfinite(s) for s in self.scales)
        require(self, usable, f"scales must be positive but are {self.scales}")
        for value, known in (
            (self.mode, _MODES),
            (self.coordinates, _COORDINATES),
            (self.nearest_mode, _NEAREST),
        ):
            require(self, value in known, f"{value!r} is not one of {', '.join(known)}")
        return x.with_shape((n, c, *self.size))

    def evaluate(self, *inputs: Array | None) -> Array:
        (x,) = inputs
        assert x is not None
        if self.mode == "nearest":
            rows, columns = (self.nearest(axis, x.shape[2 + axis]) for axis in (0, 1))
            return np.ascontiguousarray(x[:, :, rows[:, None], columns])
        rows_done = self._interpolate(x, 0)
        return self._interpolate(rows_done, 1)

    def coordinate(self, axis: int, length: int) -> Array:
        """Source coordinate of every result pixel along one axis (0: rows, 1: columns).

        In fp32, as onnxruntime does: the rounding decides ties of nearest_mode. Asymmetric
        coordinates come from the sizes, which is exact, unless the model has its own scales.
        """
        out = np.arange(self.size[axis], dtype=np.float32)
        scale = np.float32(self.scales[axis])
        if self.coordinates == "align_corners":
            last = self.size[axis] - 1
            return out * np.float32(length - 1) / np.float32(last) if last else out
        if self.coordinates == "asymmetric":
            if self.scales[axis] == self.size[axis] / length:
                exact = np.arange(self.size[axis]) * length / self.size[axis]
                return exact.astype(np.float32)
            return np.asarray(out / scale)
        if self.coordinates == "pytorch_half_pixel" and self.size[axis] == 1:
            return out
        return np.asarray((out + np.float32(0.5)) / scale - np.float32(0.5))

    def nearest(self, axis: int, length: int) -> Array:
        """Source index of every result pixel along one axis, for mode nearest."""
        at = self.coordinate(axis, length)
        if self.nearest_mode == "floor":
            index = np.floor(at)
        elif self.nearest_mode == "ceil":
            index = np.ceil(at)
        elif self.nearest_mode == "round_prefer_ceil":
            index = np.floor(at + np.float32(0.5))
        else:
            index = np.ceil(at - np.float32(0.5))
        return np.clip(index, 0, length - 1).astype(np.int64)

    def neighbours(self, axis: int, length: int) -> tuple[Array, Array, Array]:
        """For mode linear: lower index, upper index and the weight of the upper one."""
        at = np.clip(self.coordinate(axis, length), 0, length - 1)
        lower = np.minimum(np.floor(at), length - 1).astype(np.int64)
        upper = np.minimum(lower + 1, length - 1)
        return lower, upper, (at - lower).astype(np.float32)

    def matrix(self, axis: int, length: int) -> Array:
        """fp32[size, length]: the weight of every source pixel in every result pixel along
        one axis. The whole op is the product with both."""
        weights = np.zeros((self.size[axis], length), np.float32)
        rows = np.arange(self.size[axis])
        if self.mode == "nearest":
            weights[rows, self.nearest(axis, length)] = 1
            return weights
        lower, upper, weight = self.neighbours(axis, length)
        np.add.at(weights, (rows, lower), 1 - weight)
        np.add.at(weights, (rows, upper), weight)
        return weights

    def _interpolate(self, x: Array, axis: int) -> Array:
        lower, upper, weight = self.neighbours(axis, x.shape[2 + axis])
        if axis == 0:
            weight = weight[:, None]
        low, high = x.take(lower, axis=2 + axis), x.take(upper, axis=2 + axis)
        y: Array = low * (1 - weight)
        y += high * weight
        return y
