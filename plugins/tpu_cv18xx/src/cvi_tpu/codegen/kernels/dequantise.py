"""Weights that are stored in int8 and become BF16 in local memory: a load converts the
integers, two instructions scale and move them (FACTS_TPU 3.4, 4.3)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from cvi_tpu.chip import ChipSpec
from cvi_tpu.codegen.context import BF16_BYTES, View
from cvi_tpu.codegen.kernels.eltwise import repeated
from cvi_tpu.codegen.kernels.finish import halves
from cvi_tpu.codegen.planner import Load
from cvi_tpu.codegen.tiling import Range, split
from cvi_tpu.isa.instructions import Arith, ArithOp, Instruction
from cvi_tpu.isa.operands import Local


@dataclass(frozen=True)
class Grid:
    """The scales of all output channels and then their zero points, in BF16."""

    view: View
    channels: int

    def load(self, channels: Range, lanes: int) -> Load:
        """The load of what some output channels need."""
        source, target = halves(self.view, self.channels, channels, lanes)
        return Load("@grid", channels, source, target, "c")

    def dequantise(
        self, weight: Local, address: int, spec: ChipSpec, layer: int
    ) -> list[Instruction]:
        """weight * scale + zero in place, for integers (1, channels, taps, depth) that lie
        packed in local memory as BF16; address: of what `load` has put there."""
        _, count, taps, depth = weight.shape
        _, plane = halves(self.view, self.channels, Range(0, count), spec.lanes)
        found: list[Instruction] = []
        for part in split(taps * depth, spec.max_size):
            piece = replace(
                weight,
                address=weight.address + part.start * BF16_BYTES,
                shape=(1, count, 1, part.size),
            )
            for index, kind in enumerate((ArithOp.MUL, ArithOp.ADD)):
                each = replace(
                    plane, address=address + index * plane.strides[0], shape=(1, count, 1, 1)
                )
                right = repeated(each, piece.shape)
                found.append(Arith(op=kind, result=piece, left=piece, right=right, layer=layer))
        return found
