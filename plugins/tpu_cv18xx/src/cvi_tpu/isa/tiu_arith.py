"""Tensor arithmetic, table lookup and channel sums (FACTS_TPU 3.4, 3.8), both directions.

Each kind has three functions: `check_*` (is the instruction legal), `*_fields`
(instruction to field values) and `*_from` (field values to instruction).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cvi_tpu.isa import tiu_fields as tiu
from cvi_tpu.isa.errors import InstructionError, require
from cvi_tpu.isa.geometry import (
    check_aligned,
    check_default_strides,
    check_end,
    check_lane,
    check_tiu_tensor,
    default_strides,
)
from cvi_tpu.isa.instructions import Arith, ArithOp, Const, Lut, Mdsum
from cvi_tpu.isa.operands import Local
from cvi_tpu.isa.tiu_fields import FIRST, RESULT, SECOND, THIRD, Fields, Slot, Values

if TYPE_CHECKING:
    from cvi_tpu.chip import ChipSpec

LOOKUP = 12  # tsk_eu_typ
TABLE_ENTRIES = 256


@dataclass(frozen=True)
class _Rule:
    """What an operation takes: widths in bits of integer operands (a tuple is a choice),
    and how the sign and shift flags are written.

    signs: None as the operands are, else the same flag for all. arithmetic_shift: the flag
    opt_shift_typ; None means as the result's sign.
    """

    left: tuple[int, ...] = (8,)
    right: tuple[int, ...] = (8,)
    result: tuple[int, ...] = (8,)
    constant: bool = False
    shifts: bool = False
    relu: bool = False
    bf16: bool = True
    signs: int | None = None
    arithmetic_shift: int | None = None
    feature: str = ""


_LOGIC = _Rule(left=(8, 16), right=(8, 16), result=(8, 16), bf16=False, signs=0, arithmetic_shift=0)
_SELECT = _Rule(constant=True, arithmetic_shift=1)

_RULES = {
    ArithOp.MUL: _Rule(result=(8, 16), constant=True, shifts=True, relu=True),
    ArithOp.MAC: _Rule(result=(16,), constant=True, shifts=True, relu=True),
    ArithOp.ADD: _Rule((16,), (16,), (8, 16), constant=True, shifts=True, relu=True),
    ArithOp.SUB: _Rule((16,), (16,), (8, 16), shifts=True),
    ArithOp.MAX: _SELECT,
    ArithOp.MIN: _SELECT,
    ArithOp.SHIFT: _Rule((16,), (8,), (16,), bf16=False, signs=1, arithmetic_shift=1),
    ArithOp.AND: _LOGIC,
    ArithOp.OR: _LOGIC,
    ArithOp.XOR: _LOGIC,
    ArithOp.COPY: _Rule(right=(), signs=0, arithmetic_shift=0),
    ArithOp.GE: _Rule(constant=True, arithmetic_shift=1, feature="ge"),
}
_OPS = {op.value: op for op in ArithOp}


# -- legality --------------------------------------------------------------


def check_arith(arith: Arith, spec: ChipSpec) -> None:
    rule = _RULES[arith.op]
    result, left, right = arith.result, arith.left, arith.right
    require(
        not rule.feature or rule.feature in spec.features, "{} has no such operation", spec.name
    )
    check_tiu_tensor("the result", result, spec)
    _check_operand("the left operand", left, arith, spec)
    _check_width("the result", result, rule.result)
    _check_width("the left operand", left, rule.left)
    if isinstance(right, Local):
        _check_operand("the right operand", right, arith, spec)
        _check_width("the right operand", right, rule.right)
    _check_right(arith, rule)
    _check_numbers(arith, rule)
    if not result.bf16:
        _check_signs(arith, rule)


def _check_operand(what: str, operand: Local, arith: Arith, spec: ChipSpec) -> None:
    check_tiu_tensor(what, operand, spec)
    shape = arith.result.shape
    require(operand.shape == shape, "{} is {}, the result {}", what, operand.shape, shape)
    check_lane(what, operand.address, arith.result.address, spec)
    require(operand.bf16 == arith.result.bf16, "{} and the result mix BF16 and integers", what)


def _check_width(what: str, operand: Local, widths: tuple[int, ...]) -> None:
    width = 16 if operand.plane else 8
    require(
        operand.bf16 or width in widths,
        "{} has {} bits; it must have {}",
        what,
        width,
        " or ".join(map(str, widths)),
    )


def _check_right(arith: Arith, rule: _Rule) -> None:
    right = arith.right
    if isinstance(right, Const):
        require(rule.constant, "{} takes no constant", arith.op.name)
        bits, signed = _constant_format(arith.op, arith.result.bf16, right.signed)
        check_constant = tiu.check_constant
        check_constant("the constant", right.value, bits, signed)
        return
    require((right is not None) == bool(rule.right), "{} operands", arith.op.name)
    if right is not None and rule is _LOGIC:
        planes = {bool(arith.left.plane), bool(right.plane), bool(arith.result.plane)}
        require(len(planes) == 1, "the operands of {} differ in width", arith.op.name)


def _check_numbers(arith: Arith, rule: _Rule) -> None:
    bf16 = arith.result.bf16
    require(rule.bf16 or not bf16, "{} does not work on BF16", arith.op.name)
    plain = not rule.shifts or bf16
    require(not (plain and arith.shift), "{} does not shift here", arith.op.name)
    is_mac = arith.op is ArithOp.MAC
    tiu.check_shift("the right shift", arith.shift, 15 if is_mac else 31)
    tiu.check_shift("the left shift", arith.left_shift, 31 if is_mac and not bf16 else 0)
    require(not arith.narrow or (is_mac and not bf16), "only an integer MAC can be narrow")
    if arith.op is ArithOp.SHIFT:
        require(not arith.rounding, "SHIFT does not round; say rounding=False")
    elif plain or arith.multiplier is not None:
        require(arith.rounding, "{} has nothing to truncate", arith.op.name)
    if arith.multiplier is not None:
        require(arith.op is ArithOp.MUL and not bf16, "only an integer MUL has a multiplier")
        require(arith.result.plane == 0, "a requantised result has 8 bits")
        tiu.check_constant("the multiplier", arith.multiplier, 32, False)
    if arith.relu:
        require(rule.relu, "{} has no relu", arith.op.name)
        require(arith.result.plane == 0 or arith.narrow, "relu does not work on 16-bit results")


def _check_signs(arith: Arith, rule: _Rule) -> None:
    """FACTS_TPU 3.3: any signed operand makes a signed result, none an unsigned one."""
    result, left, right = arith.result, arith.left, arith.right
    require(not arith.relu or result.signed, "relu needs a signed result")
    if rule.signs == 1:
        signs = (result.signed, left.signed, right is None or right.signed)
        require(all(signs), "{} works on signed numbers", arith.op.name)
    if rule.signs is not None or right is None:
        return
    if arith.op in (ArithOp.MAX, ArithOp.MIN, ArithOp.GE):
        require(left.signed == right.signed, "{} compares signed with unsigned", arith.op.name)
    want = arith.op is ArithOp.SUB or left.signed or right.signed
    require(result.signed == want, "the result must be {}", "signed" if want else "unsigned")


def _constant_format(op: ArithOp, bf16: bool, signed: bool) -> tuple[int, bool]:
    """Bits that the hardware reads of a constant, and whether they have a sign."""
    if bf16:
        return 16, False
    return (16 if op is ArithOp.ADD else 8), signed


# -- instruction to fields -------------------------------------------------


def arith_fields(arith: Arith, spec: ChipSpec) -> Values:
    rule, result, left = _RULES[arith.op], arith.result, arith.left
    bf16 = result.bf16
    values: Values = {
        "tsk_typ": tiu.ARITHMETIC,
        "tsk_eu_typ": arith.op.value,
        "tsk_opd_num": 1 if arith.right is None else 2,
        "opd_typ": int(bf16),
        "right_shift": arith.shift,
        "relu": int(arith.relu),
        "opt_rshift_typ": int(arith.rounding),
        RESULT.address: result.address,
        FIRST.address: left.address,
        THIRD.short: tiu.EXPLICIT_STRIDES,
        SECOND.short: tiu.EXPLICIT_STRIDES,
    }
    for slot in (RESULT, FIRST, SECOND, THIRD):
        tiu.put_shape(values, slot, result.shape)
    tiu.put_strides(values, RESULT, result.strides)
    tiu.put_strides(values, FIRST, left.strides)
    _put_right(values, arith)
    _put_signs(values, arith, rule)
    _put_planes(values, arith)
    if arith.op is ArithOp.MAC:
        values["opt_res_add"] = 1
        values["opt_left_shift"] = arith.left_shift
    if arith.multiplier is not None:
        values["opt_chl_quan"] = 1
        values["quan_m"] = arith.multiplier
    return values


def _put_right(values: Values, arith: Arith) -> None:
    right = arith.right
    if isinstance(right, Const):
        values["opt_opd1_const"] = 1
        values[SECOND.address] = tiu.twos(right.value, _constant_field_bits(arith))
    elif right is not None:
        tiu.put_strides(values, SECOND, right.strides)
        values[SECOND.address] = tiu.low16(right.address)


def _constant_field_bits(arith: Arith) -> int:
    """The vendor's encoder cuts 8-bit constants to a byte except for these."""
    whole = arith.op in (ArithOp.ADD, ArithOp.GE) or arith.multiplier is not None
    return 16 if whole or arith.result.bf16 else 8


def _put_signs(values: Values, arith: Arith, rule: _Rule) -> None:
    result, right = arith.result, arith.right
    if rule.signs is not None:
        values[RESULT.sign] = values[FIRST.sign] = rule.signs
        if right is not None:
            values[SECOND.sign] = rule.signs
    else:
        values[RESULT.sign] = tiu.sign(result.signed, result.bf16)
        values[FIRST.sign] = tiu.sign(arith.left.signed, result.bf16)
        if isinstance(right, Const):
            values[SECOND.sign] = int(right.signed)
        elif right is not None:
            values[SECOND.sign] = tiu.sign(right.signed, result.bf16)
    shift_type = rule.arithmetic_shift
    values["opt_shift_typ"] = values[RESULT.sign] if shift_type is None else shift_type
    if arith.op is ArithOp.SUB:
        values[RESULT.sign] = 1


def _put_planes(values: Values, arith: Arith) -> None:
    result, left, right = arith.result, arith.left, arith.right
    if result.bf16:
        if arith.op is ArithOp.MAC:
            values[RESULT.plane] = 0
        if arith.op in (ArithOp.ADD, ArithOp.SUB):
            values[FIRST.plane] = 0
            if isinstance(right, Local):
                values[SECOND.plane] = 0
        return
    if result.plane:
        values[RESULT.eight_bit] = int(arith.narrow)
        values[RESULT.plane] = result.plane
    if left.plane:
        values[FIRST.eight_bit] = 0
        values[FIRST.plane] = left.plane
    if isinstance(right, Local) and right.plane:
        values[SECOND.eight_bit] = 0
        values[SECOND.plane] = right.plane
    if isinstance(right, Const) and arith.op is ArithOp.ADD:
        values[SECOND.eight_bit] = 0


# -- fields to instruction -------------------------------------------------


def arith_from(fields: Fields, spec: ChipSpec) -> Arith:
    op = _OPS.get(fields["tsk_eu_typ"])
    if op is None:
        raise InstructionError(f"unknown tensor operation {fields['tsk_eu_typ']}")
    result = _operand_from(op, fields, RESULT, spec)
    is_mac = op is ArithOp.MAC
    narrow = is_mac and not result.bf16 and bool(fields[RESULT.eight_bit])
    if narrow:
        result = _with_plane(result, fields[RESULT.plane])
    requantises = bool(fields["opt_chl_quan"])
    require(bool(fields["opt_res_add"]) == is_mac, "{} and opt_res_add do not agree", op.name)
    return Arith(
        op=op,
        result=result,
        left=_operand_from(op, fields, FIRST, spec),
        right=None if op is ArithOp.COPY else _right_from(op, fields, spec),
        shift=fields["right_shift"],
        left_shift=fields["opt_left_shift"] if is_mac else 0,
        multiplier=fields["quan_m"] if requantises else None,
        relu=_relu_from(fields),
        rounding=bool(fields["opt_rshift_typ"]),
        narrow=narrow,
        layer=fields["layer_info"],
    )


def _operand_from(op: ArithOp, fields: Fields, slot: Slot, spec: ChipSpec) -> Local:
    """An operand; where the signs have no effect, it is unsigned."""
    operand = tiu.get_local(fields, slot, spec, planes=True)
    return replace(operand, signed=operand.bf16) if _RULES[op].signs == 0 else operand


def _right_from(op: ArithOp, fields: Fields, spec: ChipSpec) -> Local | Const:
    if not fields["opt_opd1_const"]:
        return _operand_from(op, fields, SECOND, spec)
    signed = bool(fields[SECOND.sign])
    bits, has_sign = _constant_format(op, tiu.is_bf16(fields), signed)
    return Const(tiu.from_twos(fields[SECOND.address], bits, has_sign), signed)


def _with_plane(tensor: Local, plane: int) -> Local:
    return Local(tensor.address, tensor.shape, tensor.strides, tensor.signed, tensor.bf16, plane)


def _relu_from(fields: Fields) -> bool:
    require(fields["relu"] <= 1, "unknown relu mode {}", fields["relu"])
    return bool(fields["relu"])


# -- table lookup ----------------------------------------------------------


def check_lut(lut: Lut, spec: ChipSpec) -> None:
    for what, tensor in (("the result", lut.result), ("the input", lut.input)):
        check_tiu_tensor(what, tensor, spec)
        require(tensor.plane == 0, "{} of a lookup has two planes", what)
        check_default_strides(what, tensor, spec)
    require(lut.input.shape == lut.result.shape, "input and result differ in shape")
    require(lut.input.bf16 == lut.result.bf16, "a lookup cannot change the number format")
    check_lane("the input", lut.input.address, lut.result.address, spec)
    require(lut.table >= 0, "the table starts at {}", lut.table)
    check_aligned("the table", lut.table, spec)
    check_end("the table", lut.table + TABLE_ENTRIES * lut.result.element_bytes, spec)


def lut_fields(lut: Lut, spec: ChipSpec) -> Values:
    bf16 = int(lut.result.bf16)
    has_bit = "tens_lookup" in spec.tiu
    values: Values = {
        "tsk_typ": tiu.ARITHMETIC,
        "tsk_eu_typ": LOOKUP if bf16 or not has_bit else 0,
        "tsk_opd_num": 2,
        "opd_typ": bf16,
        "right_shift": 0,
        "relu": 0,
        "opt_shift_typ": 0,
        RESULT.sign: bf16,
        FIRST.sign: bf16,
        SECOND.sign: bf16,
        RESULT.address: lut.result.address,
        FIRST.address: lut.input.address,
        SECOND.address: lut.table,
    }
    if has_bit:
        values["tens_lookup"] = 1
    if bf16:
        values[THIRD.eight_bit] = 1
    tiu.put_shape(values, RESULT, lut.result.shape)
    tiu.put_shape(values, FIRST, lut.input.shape)
    tiu.put_shape(values, SECOND, (1, spec.lanes, 32, 8) if bf16 else (1, spec.lanes, 16, 16))
    return values


def is_lut(fields: Fields) -> bool:
    return bool(fields.get("tens_lookup", 0)) or fields["tsk_eu_typ"] == LOOKUP


def lut_from(fields: Fields, spec: ChipSpec) -> Lut:
    return Lut(
        result=tiu.get_local(fields, RESULT, spec),
        input=tiu.get_local(fields, FIRST, spec),
        table=fields[SECOND.address] % spec.lane_bytes,
        layer=fields["layer_info"],
    )


# -- channel sums ----------------------------------------------------------


def check_mdsum(mdsum: Mdsum, spec: ChipSpec) -> None:
    require("tens_mdsum" in spec.tiu, "{} has no channel sum", spec.name)
    result, source = mdsum.result, mdsum.input
    for what, tensor in (("the result", result), ("the input", source)):
        check_tiu_tensor(what, tensor, spec)
        require(not tensor.bf16 and tensor.plane == 0, "{} must have 8 bits", what)
    require(result.shape == (1, source.shape[1], 1, 1), "the result must be one per channel")
    want = default_strides(result.shape, False, spec, aligned=False)
    require(result.strides == want, "the result must be packed: strides {}", want)
    check_default_strides("the input", source, spec)
    check_lane("the input", source.address, result.address, spec)
    require(result.signed == source.signed, "the result must have the sign of the input")
    tiu.check_shift("the shift", mdsum.shift)


def mdsum_fields(mdsum: Mdsum, spec: ChipSpec) -> Values:
    values: Values = {
        "tsk_typ": tiu.ARITHMETIC,
        "tens_mdsum": 1,
        "tsk_opd_num": 1,
        "right_shift": mdsum.shift,
        "relu": 0,
        "opt_shift_typ": int(mdsum.result.signed),
        RESULT.sign: int(mdsum.result.signed),
        FIRST.sign: int(mdsum.input.signed),
        RESULT.address: mdsum.result.address,
        FIRST.address: mdsum.input.address,
        RESULT.short: tiu.PACKED_STRIDES,
    }
    tiu.put_shape(values, RESULT, mdsum.result.shape)
    tiu.put_shape(values, FIRST, mdsum.input.shape)
    return values


def mdsum_from(fields: Fields, spec: ChipSpec) -> Mdsum:
    shape = tiu.get_shape(fields, RESULT)
    require(fields[RESULT.short] == tiu.PACKED_STRIDES, "the result of a sum must be packed")
    strides = default_strides(shape, False, spec, aligned=False)
    signed = bool(fields[RESULT.sign])
    return Mdsum(
        result=Local(tiu.get_address(fields, RESULT), shape, strides, signed),
        input=tiu.get_local(fields, FIRST, spec),
        shift=fields["right_shift"],
        layer=fields["layer_info"],
    )
