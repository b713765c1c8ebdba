"""What the importer knows of an ONNX tensor: a constant array, or the result of a layer."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from cvi.ir import Array, DType, Shape, TensorType


@dataclass(frozen=True)
class Grid:
    """Integers of a type that stand for real numbers: (integer - zero) * scale."""

    scale: float
    zero: int
    dtype: np.dtype[Any]

    @property
    def limits(self) -> tuple[float, float]:
        """The least and greatest real number that they can stand for."""
        info: np.iinfo[Any] = np.iinfo(self.dtype)
        return (int(info.min) - self.zero) * self.scale, (int(info.max) - self.zero) * self.scale


@dataclass(frozen=True, eq=False)
class Value:
    """An ONNX tensor during import.

    name: the layer that computes it; for a constant, the tensor's name in the model.
    dtype: its element type in the model. Data of the IR is fp32 throughout; whole
    numbers and booleans that come in from outside are held in fp32 as they are.
    array: its content if it is known, else None.
    grid: for data that the model holds in integers, but whose layer gives the real numbers
    that they stand for; only movement keeps it.
    """

    name: str
    shape: Shape
    dtype: np.dtype[Any]
    array: Array | None = None
    grid: Grid | None = None

    @classmethod
    def of(cls, array: Array, name: str = "") -> Value:
        """A constant."""
        return cls(name, tuple(array.shape), array.dtype, array)

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def is_float(self) -> bool:
        return is_float(self.dtype)

    @property
    def type(self) -> TensorType:
        """As an operand of an op of the IR: fp32."""
        return TensorType(self.shape, DType.FP32)


@dataclass(frozen=True, eq=False, kw_only=True)
class Indices(Value):
    """Where a MaxPool found its maxima: only a MaxUnpool can read that.

    pooled: the operand of the MaxPool. block: its windows, side by side without padding;
    None when they overlap or are otherwise not blocks of an image.
    """

    pooled: Value
    block: tuple[int, int] | None


def is_float(dtype: np.dtype[Any]) -> bool:
    """Whether an element type is a real number of 16 bits or more, computed in fp32 here."""
    return dtype.name in ("float16", "bfloat16", "float32", "float64")


def as_fp32(array: Array) -> Array:
    """The array in fp32, itself when it is already."""
    with np.errstate(all="ignore"):
        return array.astype(np.float32, copy=False)
