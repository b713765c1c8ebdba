"""One TPU: local memory, DRAM, and what each instruction does to them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from cvi.errors import CviError, RunnerError, UnsupportedError
from cvi_tpu.chip import ChipSpec
from cvi_tpu.isa import instructions as isa
from cvi_tpu.isa.operands import Matrix
from cvi_tpu.sim import bf16_products, bf16_tensor, conv, matmul, pool, tdma, tensor
from cvi_tpu.sim.memory import LocalMemory, Regions, check_size

_INTEGER: dict[type[isa.Tiu], Callable[[LocalMemory, Any], None]] = {
    isa.Arith: tensor.arith,
    isa.Lut: tensor.lut,
    isa.Mdsum: tensor.mdsum,
    isa.Conv: conv.conv,
    isa.Depthwise: conv.depthwise,
    isa.Pool: pool.pool,
    isa.MatMul: matmul.matmul,
}

_BF16: dict[type[isa.Tiu], Callable[[LocalMemory, Any], None]] = {
    isa.Arith: bf16_tensor.arith,
    isa.Lut: tensor.lut,
    isa.Conv: bf16_products.conv,
    isa.Depthwise: bf16_products.depthwise,
    isa.Pool: bf16_tensor.pool,
    isa.MatMul: bf16_products.matmul,
}

_MOVES: dict[type[isa.Tdma], Callable[[LocalMemory, Regions, Any], None]] = {
    isa.Copy: tdma.copy,
    isa.Fill: tdma.fill_constant,
    isa.MatrixCopy: tdma.matrix_copy,
    isa.LinearCopy: tdma.linear_copy,
}


class Machine:
    """A TPU of the given chip; its local memory starts as zeros."""

    def __init__(self, spec: ChipSpec, dram: Regions) -> None:
        self.memory = LocalMemory(spec.lanes, spec.lane_bytes, spec.eu_bytes)
        self.dram = dram
        self._integer = dict(_INTEGER)
        if "depthwise_undilated" in spec.features:
            self._integer[isa.Depthwise] = partial(conv.depthwise, undilated=True)

    def execute(self, instruction: isa.Instruction) -> None:
        """Do what the instruction says.

        RunnerError when it leaves a memory or contradicts itself; UnsupportedError when
        it is something that is not simulated. Never an approximation.
        """
        try:
            self._execute(instruction)
        except CviError as error:
            error.where = f"{_name(instruction)}{': ' if error.where else ''}{error.where}"
            raise

    def _execute(self, instruction: isa.Instruction) -> None:
        if isinstance(instruction, isa.Tdma):
            _MOVES[type(instruction)](self.memory, self.dram, instruction)
            return
        result: Any = getattr(instruction, "result", None)
        if result is None:
            raise RunnerError("the simulator does not know this instruction")
        tensor = self.memory.as_tensor(result) if isinstance(result, Matrix) else result
        check_size(tensor.shape, self.memory.most_elements)
        table = _BF16 if result.bf16 else self._integer
        handler = table.get(type(instruction))  # type: ignore[arg-type]
        if handler is None:
            raise UnsupportedError("the simulator does not have this instruction in BF16")
        handler(self.memory, instruction)


def _name(instruction: isa.Instruction) -> str:
    return f"{type(instruction).__name__} of layer {instruction.layer}"
