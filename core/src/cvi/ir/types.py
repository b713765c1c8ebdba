"""Element types and tensor types of the IR."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Shape = tuple[int, ...]


class DType(str, Enum):
    """Element type. BF16 arrays are held as uint16 bit patterns."""

    FP32 = "fp32"
    BF16 = "bf16"
    INT8 = "int8"
    UINT8 = "uint8"
    INT16 = "int16"
    UINT16 = "uint16"
    INT32 = "int32"
    UINT32 = "uint32"
    INT64 = "int64"
    BOOL = "bool"

    @property
    def numpy(self) -> np.dtype[Any]:
        """The numpy type that holds an array of this element type."""
        return _NUMPY[self]

    @property
    def size(self) -> int:
        """Bytes of one element."""
        return self.numpy.itemsize

    @property
    def is_float(self) -> bool:
        return self in (DType.FP32, DType.BF16)

    @classmethod
    def of(cls, array: Array) -> DType:
        """Element type of a numpy array (uint16 is UINT16, never BF16)."""
        for dtype, kind in _NUMPY.items():
            if dtype is not cls.BF16 and kind == array.dtype:
                return dtype
        raise TypeError(f"no IR element type for numpy {array.dtype}")


_NUMPY: dict[DType, np.dtype[Any]] = {
    DType.FP32: np.dtype(np.float32),
    DType.BF16: np.dtype(np.uint16),
    DType.INT8: np.dtype(np.int8),
    DType.UINT8: np.dtype(np.uint8),
    DType.INT16: np.dtype(np.int16),
    DType.UINT16: np.dtype(np.uint16),
    DType.INT32: np.dtype(np.int32),
    DType.UINT32: np.dtype(np.uint32),
    DType.INT64: np.dtype(np.int64),
    DType.BOOL: np.dtype(np.bool_),
}


@dataclass(frozen=True)
class TensorType:
    """Shape, element type and scale of a tensor.

    scale: real value = (integer - zero) * scale; None for floats and for plain integers.
    zero: the integer that stands for 0.
    """

    shape: Shape
    dtype: DType = DType.FP32
    scale: float | None = None
    zero: int = 0

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        return self.elements * self.dtype.size

    def with_shape(self, shape: Shape) -> TensorType:
        return replace(self, shape=tuple(shape))

    def __str__(self) -> str:
        dims = "x".join(map(str, self.shape)) or "scalar"
        scale = "" if self.scale is None else f"*{self.scale:.6g}"
        zero = f"@{self.zero}" if self.zero else ""
        return f"{self.dtype.value}[{dims}]{scale}{zero}"
