"""Instructions to descriptor bytes and back.

`encode` and `decode` are inverse: decoding gives back every attribute that has a bit, and
encoding a decoded descriptor gives its bytes (reserved and unused fields at their
defaults). Both refuse what the chip cannot execute.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cvi_tpu.isa import tdma, tiu_arith, tiu_conv, tiu_fields, tiu_matmul
from cvi_tpu.isa.errors import InstructionError, require
from cvi_tpu.isa.instructions import (
    Arith,
    Conv,
    Copy,
    Depthwise,
    Engine,
    Fill,
    Instruction,
    LinearCopy,
    Lut,
    MatMul,
    MatrixCopy,
    Mdsum,
    Pool,
    Tdma,
    Tiu,
)
from cvi_tpu.isa.layout import Layout

if TYPE_CHECKING:
    from cvi_tpu.chip import ChipSpec

MAX_ID = 0xFFFF


@dataclass(frozen=True)
class Command:
    """An instruction with its place in the streams of the two engines (FACTS_TPU 5.2).

    id: number in its own engine, from 1. wait: id in the other engine that must be
    finished before; 0 for none.
    """

    engine: Engine
    id: int
    wait: int
    instruction: Instruction


@dataclass(frozen=True)
class _Coder:
    check: Callable[[Any, ChipSpec], None]
    fields: Callable[[Any, ChipSpec], dict[str, int]]


_CODERS: dict[type[Instruction], _Coder] = {
    Arith: _Coder(tiu_arith.check_arith, tiu_arith.arith_fields),
    Lut: _Coder(tiu_arith.check_lut, tiu_arith.lut_fields),
    Mdsum: _Coder(tiu_arith.check_mdsum, tiu_arith.mdsum_fields),
    Conv: _Coder(tiu_conv.check_conv, tiu_conv.conv_fields),
    Depthwise: _Coder(tiu_conv.check_depthwise, tiu_conv.depthwise_fields),
    Pool: _Coder(tiu_conv.check_pool, tiu_conv.pool_fields),
    MatMul: _Coder(tiu_matmul.check_matmul, tiu_matmul.matmul_fields),
    Copy: _Coder(tdma.check_copy, tdma.copy_fields),
    Fill: _Coder(tdma.check_fill, tdma.fill_fields),
    MatrixCopy: _Coder(tdma.check_matrix_copy, tdma.matrix_copy_fields),
    LinearCopy: _Coder(tdma.check_linear, tdma.linear_fields),
}


def engine_of(instruction: Instruction) -> Engine:
    """The engine that executes the instruction."""
    return Engine.TDMA if isinstance(instruction, Tdma) else Engine.TIU


def layout_of(engine: Engine, spec: ChipSpec) -> Layout:
    """The descriptor layout of an engine."""
    return spec.tiu if engine is Engine.TIU else spec.tdma


def check(instruction: Instruction, spec: ChipSpec) -> None:
    """InstructionError when the chip cannot execute the instruction."""
    try:
        _coder(instruction).check(instruction, spec)
    except InstructionError as error:
        raise error.at(_place(instruction)) from None


def encode(instruction: Instruction, spec: ChipSpec, *, id: int = 0, wait: int = 0) -> bytes:
    """The descriptor: 112 bytes of TIU or 64 bytes of TDMA.

    id, wait: see `Command`. InstructionError when the chip cannot execute it.
    """
    check(instruction, spec)
    coder = _coder(instruction)
    try:
        values = coder.fields(instruction, spec)
        if isinstance(instruction, Tdma):
            values.update(vld=1, bar_en=1, layer_ID=instruction.layer)
            values.update(cmd_id=id, wait_id_tpu=wait)
            return spec.tdma.pack(values)
        values.update(cmd_en=1, cmd_id_en=1, layer_info=instruction.layer)
        values.update(cmd_id_tpu=id, cmd_id_gdma=wait)
        return spec.tiu.pack(values)
    except InstructionError as error:
        raise error.at(_place(instruction)) from None


def decode(engine: Engine, descriptor: bytes, spec: ChipSpec) -> Command:
    """The command in a descriptor; InstructionError when it is impossible."""
    fields = layout_of(engine, spec).unpack(descriptor)
    instruction: Instruction
    if engine is Engine.TDMA:
        id, wait = fields["cmd_id"], fields["wait_id_tpu"]
    else:
        id, wait = fields["cmd_id_tpu"], fields["cmd_id_gdma"]
    try:
        if engine is Engine.TDMA:
            instruction = tdma.tdma_from(fields, spec)
        else:
            require(fields["cmd_en"] == 1, "the descriptor is switched off")
            instruction = _tiu_from(fields, spec)
        check(instruction, spec)
    except InstructionError as error:
        raise error.at(f"{engine.name} command {id}") from None
    return Command(engine, id, wait, instruction)


def _tiu_from(fields: dict[str, int], spec: ChipSpec) -> Tiu:
    tiu_fields.check_unused(fields)
    task = fields["tsk_typ"]
    if task == tiu_fields.ARITHMETIC:
        if tiu_arith.is_lut(fields):
            return tiu_arith.lut_from(fields, spec)
        if fields.get("tens_mdsum"):
            return tiu_arith.mdsum_from(fields, spec)
        return tiu_arith.arith_from(fields, spec)
    if task == tiu_fields.CONVOLUTION:
        return tiu_conv.conv_from(fields, spec)
    if task == tiu_fields.WINDOW:
        if fields["tsk_eu_typ"] == tiu_conv.DEPTHWISE:
            return tiu_conv.depthwise_from(fields, spec)
        return tiu_conv.pool_from(fields, spec)
    if task == tiu_fields.MATRIX:
        return tiu_matmul.matmul_from(fields, spec)
    raise InstructionError(f"unknown task {task}")


def _coder(instruction: Instruction) -> _Coder:
    return _CODERS[type(instruction)]


def _place(instruction: Instruction) -> str:
    return f"{type(instruction).__name__} of layer {instruction.layer}"
