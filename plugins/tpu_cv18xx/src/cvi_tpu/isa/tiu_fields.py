"""What all TIU instructions share: operand fields of the descriptor, both directions.

The descriptor has four operands: res0, opd0, opd1 and opd2 (FACTS_TPU 3.1). Field names
are the neutral ones of `Layout`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cvi_tpu.isa.errors import InstructionError, require
from cvi_tpu.isa.geometry import UPPER_ADDRESS, default_strides
from cvi_tpu.isa.operands import Local, Shape4

if TYPE_CHECKING:
    from cvi_tpu.chip import ChipSpec

Values = dict[str, int]
Fields = Mapping[str, int]

COMPUTED_STRIDES, PACKED_STRIDES, VECTOR_STRIDES, EXPLICIT_STRIDES = range(4)  # FACTS_TPU 3.2
CONVOLUTION, WINDOW, MATRIX, ARITHMETIC = range(4)  # tsk_typ

_UNUSED = (
    "opt_left_tran",
    "opt_opd0_const",
    "opt_opd2_const",
    "short_nchwstr_same",
    "cmd_keep",
    "cmd_pre_exe",
    "cmd_pre_exe_typ",
)


@dataclass(frozen=True)
class Slot:
    """Field names of one operand."""

    shape: tuple[str, str, str, str]
    strides: tuple[str, str, str, str]
    plane: str
    address: str
    sign: str
    eight_bit: str
    short: str


def _slot(prefix: str) -> Slot:
    n, c, h, w = (f"{prefix}_{dim}" for dim in "nchw")
    return Slot(
        (n, c, h, w),
        (f"{n}_str", f"{c}_str", f"{h}_str", f"{w}_str"),
        f"{prefix}_b_str",
        f"{prefix}_addr",
        f"opt_{prefix}_sign",
        f"{prefix}_8bit",
        f"short_{prefix}_str",
    )


RESULT, FIRST, SECOND, THIRD = (_slot(prefix) for prefix in ("res0", "opd0", "opd1", "opd2"))


def put_shape(values: Values, slot: Slot, shape: Shape4) -> None:
    values.update(zip(slot.shape, shape, strict=True))


def put_strides(values: Values, slot: Slot, strides: Shape4) -> None:
    values[slot.short] = EXPLICIT_STRIDES
    values.update(zip(slot.strides, strides, strict=True))


def sign(operand_signed: bool, bf16: bool) -> int:
    """The sign flag: BF16 operands have none."""
    return int(operand_signed and not bf16)


def get_shape(fields: Fields, slot: Slot) -> Shape4:
    n, c, h, w = slot.shape
    shape = (fields[n], fields[c], fields[h], fields[w])
    require(min(shape) >= 1, "an operand has the shape {}", shape)
    return shape


def get_strides(fields: Fields, slot: Slot, shape: Shape4, spec: ChipSpec) -> Shape4:
    """Strides in bytes: explicit, or those the hardware computes from the shape."""
    mode = fields[slot.short]
    if mode == EXPLICIT_STRIDES:
        n, c, h, w = slot.strides
        return (fields[n], fields[c], fields[h], fields[w])
    if mode == COMPUTED_STRIDES:
        lane = get_address(fields, slot) // spec.lane_bytes
        return default_strides(shape, is_bf16(fields), spec, lane=lane)
    raise InstructionError(f"stride mode {mode} on a tensor operand")


def get_address(fields: Fields, slot: Slot) -> int:
    """Full local address; opd1 and opd2 take their upper bits from the result."""
    address = fields[slot.address]
    if slot is RESULT or slot is FIRST:
        return address
    return (fields[RESULT.address] & UPPER_ADDRESS) | address


def get_plane(fields: Fields, slot: Slot) -> int:
    """Distance of the high byte plane; 0 for 8-bit and BF16 operands."""
    eight_bit = fields[slot.eight_bit]
    require(eight_bit in (0, 1), "operand width {}", eight_bit)
    return 0 if eight_bit else fields[slot.plane]


def get_local(fields: Fields, slot: Slot, spec: ChipSpec, *, planes: bool = False) -> Local:
    """The tensor of an operand. planes: the instruction knows 16-bit operands."""
    shape = get_shape(fields, slot)
    bf16 = is_bf16(fields)
    return Local(
        get_address(fields, slot),
        shape,
        get_strides(fields, slot, shape, spec),
        bf16 or bool(fields[slot.sign]),
        bf16,
        get_plane(fields, slot) if planes and not bf16 else 0,
    )


def is_bf16(fields: Fields) -> bool:
    return bool(fields["opd_typ"])


def low16(address: int) -> int:
    """Address field of opd1 and opd2."""
    return address & 0xFFFF


def twos(value: int, bits: int) -> int:
    """Two's complement bits of a value that was checked to fit."""
    return value & ((1 << bits) - 1)


def from_twos(value: int, bits: int, signed: bool) -> int:
    """The number that the low `bits` bits of a field mean."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if signed and value >> (bits - 1) else value


def check_constant(what: str, value: int, bits: int, signed: bool) -> None:
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    require(low <= value <= high, "{} is {}; it must be {} to {}", what, value, low, high)


def check_shift(what: str, shift: int, highest: int = 31) -> None:
    require(0 <= shift <= highest, "{} is {}; it must be 0 to {}", what, shift, highest)


def check_unused(fields: Fields) -> None:
    """Abilities of the descriptor that nobody has described (FACTS_TPU 3.9), and an early
    start (cmd_pre_exe), which would weaken the waits that `Program` derives. Some are on
    part of the chips only."""
    for name in _UNUSED:
        require(fields.get(name, 0) == 0, "the descriptor sets {}, whose meaning is unknown", name)
