"""What a kernel gets to work with: where values live, weights to load, a program to fill."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from cvi.ir import Array, Graph, Op, Shape
from cvi_tpu.chip import ChipSpec
from cvi_tpu.isa.instructions import Instruction
from cvi_tpu.isa.operands import Dram, Shape4

BF16_BYTES = 2
"""Bytes of a BF16 number; kernels compute on elements of one or of two bytes."""


@dataclass(frozen=True)
class View:
    """Where a value lives in DRAM: a strided window of one memory region.

    region: base register (0 shared, 1 weight, 2 private, 3..7 io). address: byte offset
    in it. strides: bytes, one per dimension; element_bytes: size of an element.
    """

    region: int
    address: int
    shape: Shape
    strides: tuple[int, ...]
    element_bytes: int = 1

    @classmethod
    def dense(cls, region: int, address: int, shape: Shape, element_bytes: int = 1) -> View:
        strides, step = [], element_bytes
        for dim in reversed(shape):
            strides.append(step)
            step *= dim
        return cls(region, address, tuple(shape), tuple(reversed(strides)), element_bytes)

    @property
    def is_dense(self) -> bool:
        """Whether the elements are contiguous in row-major order (size-1 dims are free)."""
        step = self.element_bytes
        for dim, stride in zip(reversed(self.shape), reversed(self.strides), strict=True):
            if dim > 1 and stride != step:
                return False
            step *= dim
        return True

    def reshaped(self, shape: Shape) -> View:
        """The same elements with another shape; only for dense views."""
        if not self.is_dense:
            raise ValueError(f"a strided view of {self.shape} cannot be reshaped to {shape}")
        return View.dense(self.region, self.address, shape, self.element_bytes)

    def window(self, starts: Shape, sizes: Shape) -> View:
        """The box [start, start+size) of the view."""
        offset = sum(s * d for s, d in zip(starts, self.strides, strict=True))
        return replace(self, address=self.address + offset, shape=tuple(sizes))

    def dram(self, *, signed: bool = True) -> Dram:
        """The view as an instruction operand; needs four dims and a contiguous w."""
        if len(self.shape) != 4 or (self.shape[3] > 1 and self.strides[3] != self.element_bytes):
            raise ValueError(f"view of {self.shape} with strides {self.strides} is no operand")
        shape: Shape4 = (self.shape[0], self.shape[1], self.shape[2], self.shape[3])
        # the stride of a single row says nothing, but must fit its 16 bits
        row = self.strides[2] if shape[2] > 1 else shape[3] * self.element_bytes
        strides = (self.strides[0], self.strides[1], row)
        bf16 = self.element_bytes == BF16_BYTES
        return Dram(self.region, self.address, shape, strides, signed=signed or bf16, bf16=bf16)


class Context(Protocol):
    """The surroundings of one op while it is lowered.

    lane_bytes: local memory per lane that may be used (tests make it small).
    layer: number of the layer, for the instructions. plans: what the planner found, by the
    signature of an op.
    """

    spec: ChipSpec
    graph: Graph
    lane_bytes: int
    layer: int
    plans: dict[Hashable, Any]

    def view(self, name: str) -> View:
        """Where the value of an op (or a constant used as a tensor) lives."""

    def weight(self, data: Array) -> View:
        """Put bytes into the weight section (equal bytes are stored once, 16-byte aligned)
        and say where; the view is one-dimensional, of uint8."""

    def constant(self, name: str) -> Array:
        """The array of a constant operand."""

    def emit(self, instruction: Instruction) -> None:
        """Append an instruction to the program of the current segment."""


Lowering = Callable[[Op, Context], None]

LOWERINGS: dict[type[Op], Lowering] = {}


def lowers(*kinds: type[Op]) -> Callable[[Lowering], Lowering]:
    """Register the decorated function as the way these quantised ops become instructions."""

    def register(function: Lowering) -> Lowering:
        for kind in kinds:
            LOWERINGS[kind] = function
        return function

    return register


def as_bytes(array: Array) -> Array:
    """The memory of an array as a flat uint8 array."""
    return np.frombuffer(np.ascontiguousarray(array).tobytes(), np.uint8)
