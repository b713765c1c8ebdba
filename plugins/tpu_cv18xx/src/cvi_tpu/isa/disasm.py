"""One readable line per command.

    TDMA    1           copy     i8[1,3,8,8]@L0+0x0/192,64,8,1 <- i8[1,3,8,8]@dram3+0x0/...
    TIU     1  wait 1   conv     i8[...]@... <- i8[...]@..., weight=L0+0x2000 kernel=3x3 relu

Tensors are written as format[shape]@place/strides in bytes; attributes at their defaults
are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import MISSING, Field, fields
from enum import Enum
from typing import TYPE_CHECKING, Any

from cvi_tpu.isa.codec import Command
from cvi_tpu.isa.instructions import Arith, Const, Instruction, Pool, Quant, Window
from cvi_tpu.isa.operands import Dram, Local, Matrix

if TYPE_CHECKING:
    from cvi_tpu.chip import ChipSpec

_TARGETS = ("result", "target")
_SOURCES = ("left", "input", "source", "right")
_ADDRESSES = ("weight", "table", "records", "bias", "source", "target")
_APART = ("op", "layer")
_PAIRS = ("kernel", "stride", "dilation", "insert", "insert_last")
_SHORT = {
    "Depthwise": "dwconv",
    "MatrixCopy": "matcopy",
    "LinearCopy": "linear",
}


def disassemble(commands: Iterable[Command], spec: ChipSpec) -> Iterator[str]:
    """The lines of a program."""
    for command in commands:
        yield line(command, spec)


def line(command: Command, spec: ChipSpec) -> str:
    """Engine, number, wait, mnemonic, operands and attributes of a command."""
    wait = f"wait {command.wait}" if command.wait else ""
    text = describe(command.instruction, spec)
    return f"{command.engine.name:<4} {command.id:>5}  {wait:<10} {text}"


def describe(instruction: Instruction, spec: ChipSpec) -> str:
    """Mnemonic, operands and attributes."""
    targets: list[str] = []
    sources: list[str] = []
    rest: list[str] = []
    for name, default in _attributes(type(instruction)):
        value = getattr(instruction, name)
        if name in _TARGETS:
            targets.append(_value(name, value, spec))
        elif name in _SOURCES and value is not None:
            sources.append(_value(name, value, spec))
        elif value != default:
            rest += _attribute(name, value, spec)
    if instruction.layer:
        rest.append(f"layer={instruction.layer}")
    operands = ", ".join(targets) + (" <- " if sources else "") + ", ".join(sources)
    return f"{mnemonic(instruction):<8} {' '.join([operands, *rest])}"


def mnemonic(instruction: Instruction) -> str:
    """The short name of what an instruction does."""
    if isinstance(instruction, Arith):
        return instruction.op.name.lower()
    if isinstance(instruction, Pool):
        return f"{instruction.op.name.lower()}pool"
    name = type(instruction).__name__
    return _SHORT.get(name, name.lower())


def _attributes(kind: type) -> tuple[tuple[str, object], ...]:
    """(name, default) of every attribute that is printed."""
    return tuple((f.name, _default(f)) for f in fields(kind) if f.name not in _APART)


def _default(field: Field[Any]) -> object:
    if field.default_factory is not MISSING:
        return field.default_factory()
    return field.default


def _attribute(name: str, value: object, spec: ChipSpec) -> list[str]:
    if isinstance(value, (Window, Quant)):
        found: list[str] = []
        for inner, default in _attributes(type(value)):
            content = getattr(value, inner)
            if content != default:
                found += _attribute(inner, content, spec)
        return found
    if value is True:
        return [name]
    if value is False:
        return [f"no_{name}"]
    return [f"{name}={_value(name, value, spec)}"]


def _value(name: str, value: object, spec: ChipSpec) -> str:
    if isinstance(value, (Local, Dram, Matrix)):
        return _operand(value, spec)
    if isinstance(value, Const):
        return f"#{value.value}"
    if isinstance(value, Enum):
        return value.name.lower()
    if isinstance(value, tuple):
        return ("x" if name in _PAIRS else ",").join(map(str, value))
    if isinstance(value, int) and name in _ADDRESSES:
        return _local(value, spec)
    return str(value)


def _operand(operand: Local | Dram | Matrix, spec: ChipSpec) -> str:
    form = "bf16" if operand.bf16 else ("i" if operand.signed else "u")
    strides = ",".join(map(str, operand.strides))
    if isinstance(operand, Matrix):
        form += "" if operand.bf16 else "8"
        size = f"{operand.rows}x{operand.columns} in {operand.c}x{operand.w}"
        return f"{form}[{size}]@{_local(operand.address, spec)}/{strides}"
    shape = ",".join(map(str, operand.shape))
    if isinstance(operand, Dram):
        form += "" if operand.bf16 else "8"
        return f"{form}[{shape}]@dram{operand.region}+{operand.address:#x}/{strides}"
    form += "" if operand.bf16 else ("16" if operand.plane else "8")
    high = f" high+{operand.plane:#x}" if operand.plane else ""
    return f"{form}[{shape}]@{_local(operand.address, spec)}/{strides}{high}"


def _local(address: int, spec: ChipSpec) -> str:
    return f"L{address // spec.lane_bytes}+{address % spec.lane_bytes:#x}"
