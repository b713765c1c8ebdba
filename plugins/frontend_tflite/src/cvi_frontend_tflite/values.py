"""What the importer knows of a TFLite tensor: a constant array, or the result of a layer.

TFLite's images are [n, h, w, c], those of the IR [n, c, h, w]. A value has its shape as
TFLite sees it, and says with `order` how the layer that holds it has its dimensions
arranged: dimension i of the layer is dimension order[i] of the tensor. Ops that only
compute element by element, reduce or cut work in any order, so that a tensor is turned
only where the order of its elements really matters.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cvi.ir import Array, DType, Shape, TensorType

Order = tuple[int, ...]
IMAGE: Order = (0, 3, 1, 2)
"""An image [n, h, w, c] in a layer [n, c, h, w]."""


@dataclass(frozen=True, eq=False)
class Value:
    """A tensor during import.

    name: the layer that computes it; for a constant, the tensor's name in the model.
    shape: TFLite's. dtype: float32 for all that stands for real numbers, quantised or
    not, else the integer type. array: the content in TFLite's order if it is known.
    order: how the layer arranges the dimensions; constants are always in order.
    """

    name: str
    shape: Shape
    dtype: np.dtype[Any]
    order: Order
    array: Array | None = None

    @classmethod
    def of(cls, array: Array, name: str = "") -> Value:
        """A constant."""
        return cls(name, tuple(array.shape), array.dtype, in_order(array.ndim), array)

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def is_float(self) -> bool:
        return self.dtype.kind == "f"

    @property
    def carried(self) -> Shape:
        """The shape of the layer."""
        return tuple(self.shape[i] for i in self.order)

    @property
    def type(self) -> TensorType:
        """As an operand of an op of the IR: fp32."""
        return TensorType(self.carried, DType.FP32)

    def transposed(self, order: Sequence[int]) -> Value:
        """The tensor with its dimensions taken in another order: the layer stays as it is."""
        shape = tuple(self.shape[i] for i in order)
        if self.array is not None:
            return Value.of(self.array.transpose(order), self.name)
        return replace(self, shape=shape, order=tuple(order.index(i) for i in self.order))


def in_order(rank: int) -> Order:
    return tuple(range(rank))


def usual_order(rank: int) -> Order:
    """How layers mostly hold tensors: those of 4 dimensions as images, others in order."""
    return IMAGE if rank == 4 else in_order(rank)


def inverse(order: Order) -> Order:
    return tuple(order.index(i) for i in range(len(order)))


def only_moves_ones(shape: Shape, order: Order) -> bool:
    """Whether the elements of a tensor of that shape stay where they are in that order."""
    kept = [i for i in order if shape[i] != 1]
    return kept == sorted(kept)
