"""What a CPU function gets: its inputs, its arguments, and the outputs it has to fill."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import TypeVar

from cvi.errors import ModelError
from cvi.ir.types import Array, DType
from cvi_tpu.model.arguments import Floats, Ints, Value
from cvi_tpu.model.schema import Tensor

_T = TypeVar("_T", bool, int, float, str, Ints, Floats)

_NAMES = {Ints: "int array", Floats: "float array"}


@dataclass(frozen=True)
class Operand:
    """An input: a tensor of the program or a weight.

    values: in the first four dimensions of its shape; flat when the tensor is padded.
    BF16 values are uint16 bit patterns.
    """

    name: str
    dtype: DType
    values: Array


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call of a CPU function; a missing or mistyped part raises ModelError."""

    inputs: Sequence[Operand]
    arguments: Mapping[str, Value]
    outputs: Sequence[Tensor]

    def argument(self, key: str, kind: type[_T]) -> _T:
        """An argument of exactly that type; otherwise the vendor's runtime aborts."""
        value = self.arguments.get(key)
        if type(value) is not kind:
            given = "nothing" if value is None else _kind_name(type(value))
            raise ModelError(
                f"the CPU function needs {key!r} as {_kind_name(kind)}; the file has {given}"
            )
        return value

    def optional(self, key: str, default: _T) -> _T:
        """An argument of the default's type, or the default when there is none."""
        return self.argument(key, type(default)) if key in self.arguments else default

    def axis(self) -> int:
        """The argument "axis", 0 to 3; the vendor's runtime does not count from behind."""
        axis = self.argument("axis", int)
        if not 0 <= axis < 4:
            raise ModelError(f"argument 'axis' is {axis}; a CPU function has axes 0 to 3")
        return axis

    def positive(self, key: str) -> int:
        """An int argument that makes sense from 1 up."""
        value = self.argument(key, int)
        if value < 1:
            raise ModelError(f"argument {key!r} is {value}, but must be positive")
        return value

    def operand(self, index: int, *allowed: DType) -> Operand:
        """An input with four dimensions and one of these element types."""
        if index >= len(self.inputs):
            raise ModelError(f"the CPU function reads {index + 1} or more inputs")
        operand = self.inputs[index]
        if operand.dtype not in allowed:
            wanted = " or ".join(dtype.value for dtype in allowed)
            raise ModelError(
                f"the CPU function reads {wanted}, not {operand.dtype.value}", where=operand.name
            )
        if operand.values.ndim != 4:
            raise ModelError("a CPU function reads no padded tensors", where=operand.name)
        return operand

    def fp32(self, index: int) -> Array:
        """The values of an fp32 input."""
        return self.operand(index, DType.FP32).values

    def all_fp32(self, count: int) -> list[Operand]:
        """All inputs, which must be `count` fp32 tensors."""
        if len(self.inputs) != count:
            raise ModelError(f"the CPU function reads {count} inputs, not {len(self.inputs)}")
        return [self.operand(index, DType.FP32) for index in range(count)]

    def output(self, *allowed: DType, index: int = 0) -> Tensor:
        """An output of one of these element types."""
        if index >= len(self.outputs):
            raise ModelError(f"the CPU function writes {index + 1} or more outputs")
        tensor = self.outputs[index]
        if tensor.dtype not in allowed:
            wanted = " or ".join(dtype.value for dtype in allowed)
            raise ModelError(
                f"a CPU function gives {wanted} for a tensor of {tensor.dtype.value}",
                where=tensor.name,
            )
        if tensor.aligned:
            raise ModelError("a CPU function writes no padded tensors", where=tensor.name)
        return tensor

    def fills(self, count: int, dtype: DType = DType.FP32, *, index: int = 0) -> Tensor:
        """An output that has exactly `count` elements of that type.

        Fewer would be written past their end, more would keep what was in memory before.
        """
        tensor = self.output(dtype, index=index)
        room = prod(tensor.shape[:4])
        if room != count:
            raise ModelError(
                f"the CPU function writes {count} values, the tensor has {room}",
                where=tensor.name,
            )
        return tensor

    def images(self, count: int, size: int) -> None:
        """Check that the fp32 output holds `count` images of `size` values each: the vendor's
        functions take the distance of images from the output's shape."""
        tensor = self.fills(count * size)
        if tensor.shape[0] != count:
            raise ModelError(
                f"the CPU function writes {count} images, the tensor has {tensor.shape[0]}",
                where=tensor.name,
            )


def _kind_name(kind: type[object]) -> str:
    return _NAMES.get(kind, kind.__name__)
