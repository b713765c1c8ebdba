"""What commands touch in local memory, observed while the simulator executes them.

The simulator and the instructions' declared accesses (`cvi_tpu.isa.access`, from which
waits and races are derived) are written independently; here the former is the witness.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from cvi.ir import Array
from cvi_tpu.chip import ChipSpec
from cvi_tpu.isa.codec import Command
from cvi_tpu.isa.instructions import Fill, LinearCopy, MatrixCopy
from cvi_tpu.isa.operands import Matrix
from cvi_tpu.model import CviModelFile
from cvi_tpu.runtime.gmem import Gmem
from cvi_tpu.sim.machine import Machine
from cvi_tpu.sim.memory import LocalMemory, Shape4

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Touch:
    """Bytes of local memory (all lanes in one row) that were viewed as an array."""

    start: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    item: int
    writes: bool

    def mark(self, mask: Mask) -> None:
        view = np.ndarray((*self.shape, self.item), np.bool_, mask, self.start, (*self.strides, 1))
        view[...] = True


@dataclass
class _Watched(LocalMemory):
    """Local memory that notes every access."""

    spec: ChipSpec
    touches: list[Touch] = field(default_factory=list)
    writing: bool = False

    def __post_init__(self) -> None:
        super().__init__(self.spec.lanes, self.spec.lane_bytes, self.spec.eu_bytes)

    def _view(
        self, shape: tuple[int, ...], dtype: np.dtype[Any], start: int, strides: tuple[int, ...]
    ) -> Array:
        self.touches.append(Touch(start, shape, strides, dtype.itemsize, self.writing))
        return super()._view(shape, dtype, start, strides)

    def write(self, address: int, strides: Shape4, values: Array) -> None:
        before, self.writing = self.writing, True
        super().write(address, strides, values)
        self.writing = before


Trace = tuple[Touch, ...]


def traces(model: CviModelFile, commands: Sequence[Command], spec: ChipSpec) -> list[Trace]:
    """What each command touches; they are executed in the given order on empty memory."""
    machine = Machine(spec, Gmem(model, model.programs[0]).dram)
    memory = machine.memory = _Watched(spec)
    found = []
    for command in commands:
        memory.touches, instruction = [], command.instruction
        memory.writing = isinstance(instruction, Fill) or (
            isinstance(instruction, MatrixCopy) and isinstance(instruction.target, Matrix)
        )
        machine.execute(instruction)
        if isinstance(instruction, LinearCopy):
            memory.touches += _linear(instruction)
        found.append(tuple(memory.touches))
    return found


def _linear(copy: LinearCopy) -> list[Touch]:
    sides = ((copy.source, False), (copy.target, True))
    return [Touch(s, (copy.size,), (1,), 1, w) for s, w in sides if isinstance(s, int)]


def conflict(a: Trace, b: Trace, spec: ChipSpec) -> bool:
    """Whether two commands touch a common byte and at least one writes it."""
    reads_a, writes_a = _masks(a, spec)
    reads_b, writes_b = _masks(b, spec)
    return bool(
        np.any(writes_a & writes_b) or np.any(writes_a & reads_b) or np.any(reads_a & writes_b)
    )


@lru_cache(maxsize=48)
def _masks(trace: Trace, spec: ChipSpec) -> tuple[Mask, Mask]:
    masks = [np.zeros(spec.lanes * spec.lane_bytes, np.bool_) for _ in range(2)]
    for touch in trace:
        touch.mark(masks[touch.writes])
    return masks[0], masks[1]
