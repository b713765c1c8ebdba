"""What the importer knows of a Caffe blob: the result of a layer, or a constant array."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cvi.errors import ModelError
from cvi.importing.constants import MAX_ELEMENTS
from cvi.ir import Array, DType, Shape, TensorType


@dataclass(frozen=True, eq=False)
class Value:
    """A blob during import.

    name: the op that computes it, "" for a constant. array: the content of a constant.
    positions: for the second result of a max pool, which Caffe fills with the places of the
    maxima: the window; our value is 1 at these places and 0 elsewhere.
    """

    name: str
    shape: Shape
    array: Array | None = None
    positions: tuple[int, int] | None = None

    @classmethod
    def of(cls, array: Array) -> Value:
        """A constant."""
        return cls("", tuple(array.shape), np.asarray(array, np.float32))

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def channels(self) -> int:
        """Size of axis 1, or 1 for a blob without channels."""
        return self.shape[1] if self.rank > 1 else 1

    @property
    def type(self) -> TensorType:
        return TensorType(self.shape, DType.FP32)


def check_elements(shape: Shape, what: str) -> None:
    """Refuse a blob that cannot be meant seriously, before anything is allocated."""
    if any(size < 1 for size in shape) or math.prod(shape) > MAX_ELEMENTS:
        raise ModelError(
            f"{what} has the shape {'x'.join(map(str, shape))}; sizes are positive and the "
            f"limit is {MAX_ELEMENTS} elements",
            fix="check the network, or fix its input shapes with --input-shape NAME=1,3,H,W",
        )
