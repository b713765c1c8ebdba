"""Typed instructions from the parameters that golden vectors record of the vendor's encoder."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cvi_tpu.chip import ChipSpec
from cvi_tpu.isa.instructions import (
    Arith,
    ArithOp,
    Const,
    Conv,
    Copy,
    Depthwise,
    Fill,
    Instruction,
    LinearCopy,
    Lut,
    MatMul,
    MatrixCopy,
    Pool,
    PoolOp,
    Quant,
    Transpose,
    Window,
)
from cvi_tpu.isa.operands import Dram, Local, Matrix, dense, dram_matrix

Params = dict[str, Any]

#: Vendor slips that are not to be reproduced, made by two chips' encoders (FACTS_TPU 7.7): a
#: layer number that nobody set, and a byte count that holds the base register.
_UNSET_LAYER = ("arith_shift", "tiu_and_int16", "tiu_or_int16", "tiu_xor_int16")
_WRONG_SIZE = "g2l_gen_"
_SLIPPING = ("cv183x", "cv182x")


def has_unset_layer(key: str, chip: str) -> bool:
    return chip in _SLIPPING and any(name in key for name in _UNSET_LAYER)


def has_wrong_size(key: str, chip: str) -> bool:
    return chip in _SLIPPING and key.startswith(_WRONG_SIZE)


#: Networks that the vendor's compiler made: (chip, name).
PROGRAMS = [
    ("cv183x", "int8_a"),
    ("cv183x", "int8_b"),
    ("cv183x", "bf16"),
    ("cv182x", "int8_a"),
    ("cv182x", "int8_b"),
    ("cv182x", "bf16"),
    ("cv181x", "int8_a"),
    ("cv180x", "int8_a"),
]

#: Chips for which the vendor's encoder sets int8_sign in plain copies, too (FACTS_TPU 4.3).
SIGNS_PLAIN_COPIES = {"cv183x": False, "cv182x": False, "cv181x": True, "cv180x": True}
_NEVER_SIGNED = ("rotated", "row_col", "g2g")


def vectors(shared: Path, engine: str, chip: str) -> list[tuple[dict[str, Any], list[bytes]]]:
    """(case, descriptors) of every golden vector of an engine."""
    folder = shared / "golden"
    cases = json.loads((folder / f"{engine}_{chip}.json").read_text())
    words = np.load(folder / f"{engine}_{chip}.npz")
    found = []
    for case in cases:
        rows = np.atleast_2d(words[case["key"] + "_words"]).astype("<u4")
        found.append((case, [row.tobytes() for row in rows]))
    return found


# -- operands --------------------------------------------------------------


def local(t: Params, *, high: Params | None = None) -> Local:
    return Local(
        t["addr"],
        tuple(t["shape"]),
        tuple(t["stride"]),
        t["fmt"] != "u8",
        t["fmt"] == "bf16",
        high["addr"] - t["addr"] if high else 0,
    )


def dram(t: Params) -> Dram:
    return Dram(
        t["base"],
        t["addr"],
        tuple(t["shape"]),
        tuple(t["stride_n_c_h"]),
        t["fmt"] != "u8",
        t["fmt"] == "bf16",
    )


def matrix(t: Params, *, rows: int | None = None) -> Matrix:
    n, c, w, columns = t["shape_n_c_w_col"]
    strides = (t["stride_n_c_h"][0], t["stride_n_c_h"][1])
    signed = t["fmt"] != "u8"
    return Matrix(t["addr"], rows or n, columns, c, w, strides, signed, t["fmt"] == "bf16")


def gmatrix(t: Params) -> Dram:
    return dram_matrix(
        t["base"],
        t["addr"],
        t["row"],
        t["col"],
        row_stride=t["stride_row"],
        signed=t["fmt"] != "u8",
        bf16=t["fmt"] == "bf16",
    )


def plain(side: Any, op: str, spec: ChipSpec) -> Any:
    """The operand of a copy that converts nothing, as the vendor's encoder declares it."""
    keeps = SIGNS_PLAIN_COPIES[spec.name] and not any(name in op for name in _NEVER_SIGNED)
    return side if side.bf16 or keeps else replace(side, signed=False)


# -- TIU -------------------------------------------------------------------

BINARY = {
    "tiu_mul": ArithOp.MUL,
    "tiu_mul_qm": ArithOp.MUL,
    "tiu_mac": ArithOp.MAC,
    "tiu_add": ArithOp.ADD,
    "tiu_sub": ArithOp.SUB,
    "tiu_max": ArithOp.MAX,
    "tiu_min": ArithOp.MIN,
    "tiu_ge": ArithOp.GE,
    "tiu_arith_shift": ArithOp.SHIFT,
    "tiu_and_int8": ArithOp.AND,
    "tiu_or_int8": ArithOp.OR,
    "tiu_xor_int8": ArithOp.XOR,
    "tiu_and_int16": ArithOp.AND,
    "tiu_or_int16": ArithOp.OR,
    "tiu_xor_int16": ArithOp.XOR,
}


def tiu_instruction(case: Params, spec: ChipSpec) -> Instruction:
    """The instruction that the vendor's call describes."""
    op, p = case["op"], case["params"]
    layer = case["fields"].get("layer_info", 0)
    if has_unset_layer(case["key"], spec.name):
        layer = 0
    if op in BINARY:
        return _binary(BINARY[op], op, p, layer)
    if op == "tiu_copy":
        return Arith(op=ArithOp.COPY, result=local(p["dst"]), left=local(p["src"]), layer=layer)
    if op == "tiu_lookup_table":
        table = p["table"]["addr"]
        return Lut(result=local(p["ofmap"]), input=local(p["ifmap"]), table=table, layer=layer)
    if "pooling" in op:
        return _pool(op, p, layer)
    if "convolution" in op:
        return _convolution(op, p, layer)
    return _matmul(op, p, layer)


def _pick(p: Params, *names: str) -> Params | None:
    return next((p[name] for name in names if p.get(name) is not None), None)


def _binary(op: ArithOp, name: str, p: Params, layer: int) -> Arith:
    low = _pick(p, "res_low", "res", "max", "min", "ge")
    left = _pick(p, "a_low", "a")
    assert low is not None and left is not None
    result, first = local(low, high=p.get("res_high")), local(left, high=p.get("a_high"))
    right: Local | Const
    if p.get("b_is_const"):
        value = p["b_const__val"]
        right = Const(value & 0xFFFF if first.bf16 else value, bool(p["b_const__is_signed"]))
    else:
        second = _pick(p, "b_low", "b__low", "b", "bits")
        assert second is not None
        right = local(second, high=_pick(p, "b_high", "b__high"))
    return Arith(
        op=op,
        result=result,
        left=first,
        right=right,
        shift=p.get("rshift_bits", 0),
        left_shift=p.get("lshift_bits", 0),
        multiplier=p.get("multiplier"),
        relu=bool(p.get("relu_enable", 0)),
        rounding=op is not ArithOp.SHIFT,
        narrow=bool(p.get("res_is_int8", 0)) and not first.bf16,
        layer=layer,
    )


def _window(p: Params, kernel: tuple[int, int], fill: int) -> Window:
    return Window(
        kernel=kernel,
        stride=(p.get("stride_h", 1), p.get("stride_w", 1)),
        dilation=(p.get("dilation_h", 1), p.get("dilation_w", 1)),
        pads=(p["pad_top"], p["pad_left"], p["pad_bottom"], p["pad_right"]),
        insert=(p.get("ins_h", 0), p.get("ins_w", 0)),
        insert_last=(p.get("ins_last_h", 0), p.get("ins_last_w", 0)),
        fill=fill,
    )


def _pool(op: str, p: Params, layer: int) -> Pool:
    source = local(p["ifmap"])
    kernel = (p["kh"], p["kw"])
    kind = {"max": PoolOp.MAX, "min": PoolOp.MIN, "ave": PoolOp.AVG}[op[4:7]]
    fill = p.get("ins_fp", 0) if source.bf16 else p.get("ins_val", 0)
    multiplier = 0
    if kind is PoolOp.MAX and source.signed and not source.bf16 and fill == 0:
        fill = -128
    if not (source.signed or source.bf16):
        fill &= 0xFF
    if kind is PoolOp.MIN:
        fill = 127 if source.signed else 255
    if kind is PoolOp.AVG:
        multiplier = p["avg_pooling_const"]
        if source.bf16:
            multiplier = _bf16(_float(multiplier) / (kernel[0] * kernel[1]))
    return Pool(
        op=kind,
        result=local(p["ofmap"]),
        input=source,
        window=_window(p, kernel, fill),
        multiplier=multiplier,
        shift=p.get("rshift_bits", 0),
        layer=layer,
    )


def _float(bf16: int) -> float:
    return float(struct.unpack("<f", struct.pack("<I", bf16 << 16))[0])


def _bf16(value: float) -> int:
    bits = int(struct.unpack("<I", struct.pack("<f", value))[0])
    return (bits + 0x7FFF + (bits >> 16 & 1)) >> 16


def _convolution(op: str, p: Params, layer: int) -> Instruction:
    result, source, weight = local(p["ofmap"]), local(p["ifmap"]), p["weight"]
    records = p.get("chl_quan_param") or p.get("bias")
    per_channel = "_pt_" not in op
    quant = Quant(
        per_channel=per_channel,
        bias=bool(p.get("has_bias")) if per_channel else bool(records),
        bias_signed=per_channel or records is None or records["fmt"] != "u8",
        records=records["addr"] if records else 0,
        shift=p.get("rshift_bits", 0),
        relu=bool(p["relu_enable"]),
    )
    fill = p.get("ins_fp", 0) if source.bf16 else p.get("ins_val", 0)
    kernel = (weight["shape"][2], weight["shape"][3])
    partial = p.get("ps32_mode", 0)
    kind = Depthwise if "depthwise" in op else Conv
    return kind(
        result=result,
        input=source,
        weight=weight["addr"],
        window=_window(p, kernel, fill),
        quant=quant,
        weight_signed=weight["fmt"] != "u8",
        partial=partial,
        partial_plane=result.shape[0] * result.strides[0] if partial else 0,
        layer=layer,
    )


def _matmul(op: str, p: Params, layer: int) -> MatMul:
    left = matrix(p["left"])
    result = matrix(p["res"], rows=left.rows)
    partial = p["ps32_mode"]
    bias = p.get("bias")
    return MatMul(
        result=result,
        left=left,
        right=matrix(p["right"]),
        bias=bias["addr"] if bias else None,
        bias_signed=bias is None or bias["fmt"] != "u8",
        multiplier=p.get("quan_m"),
        shift=p["rshift_bits"],
        left_shift=p["lshift_bits"],
        relu=bool(p["relu_enable"]),
        wide=not p["res_is_int8"] and not result.bf16,
        add_result=bool(p["add_result"]),
        partial=partial,
        partial_plane=result.rows * result.strides[0] if partial else 0,
        layer=layer,
    )


# -- TDMA ------------------------------------------------------------------


def tdma_instructions(case: Params, spec: ChipSpec) -> list[Instruction]:
    """The instructions that the vendor's call describes: two for an LRN shift, else one."""
    op, p = case["op"], case["params"]
    if "general" in op:
        return [_linear(op, p, spec)]
    if "fill" in op:
        target = p["dst"]
        side = dram(target) if "base" in target else plain(local(target), op, spec)
        return [Fill(target=side, value=p["constant"])]
    if "lrn" in op:
        return _lrn(p, spec)
    if "matrix" in op:
        return [_matrix_copy(op, p, spec)]
    return [_tensor_copy(op, p, spec)]


def _sides(op: str, source: Any, target: Any, spec: ChipSpec) -> tuple[Any, Any]:
    if "bf16" in op:
        return source, target
    return plain(source, op, spec), plain(target, op, spec)


def _tensor_copy(op: str, p: Params, spec: ChipSpec) -> Copy:
    source = dram(p["src"]) if "base" in p["src"] else local(p["src"])
    target = dram(p["dst"]) if "base" in p["dst"] else local(p["dst"])
    source, target = _sides(op, source, target, spec)
    transpose = None
    if "nc_transposed" in op:
        transpose = Transpose.NC
    elif "cw_transposed" in op:
        transpose = Transpose.CW
    elif "chw_rotated" in op:
        n, c, h, w = source.shape
        transpose = Transpose.HWC3 if c == 3 else Transpose.HWC4
        source = Dram(source.region, source.address, (n, c, h, w), (c * h * w, 1, c * w), False)
    narrows = source.bf16 and not target.bf16
    rounds = p["src"].get("int8_rnd_mode", 0) or p["dst"].get("int8_rnd_mode", 0)
    return Copy(
        source=source, target=target, transpose=transpose, int8_round_zero=narrows and bool(rounds)
    )


def _matrix_copy(op: str, p: Params, spec: ChipSpec) -> MatrixCopy:
    source = gmatrix(p["src"]) if "base" in p["src"] else matrix(p["src"])
    target = gmatrix(p["dst"]) if "base" in p["dst"] else matrix(p["dst"])
    source, target = _sides(op, source, target, spec)
    return MatrixCopy(source=source, target=target, transposed="row_col" in op)


def _linear(op: str, p: Params, spec: ChipSpec) -> LinearCopy:
    if "src" in p:
        source, target = dram(p["src"]), dram(p["dst"])
        source, target = _sides(op, source, target, spec)
        size = int(np.prod(source.shape)) * source.element_bytes
        return LinearCopy(source=source, target=target, size=size)
    size = p["bytes"]

    def side(region: int, address: int) -> Dram:
        return Dram(region, address, (1, 1, 1, size), dense((1, 1, 1, size)), False)

    if "src_base_reg_index" in p:
        source = side(p["src_base_reg_index"], p["src_address"])
        return LinearCopy(source=source, target=p["dst_address"], size=size)
    target = side(p["dst_base_reg_index"], p["dst_address"])
    return LinearCopy(source=p["src_address"], target=target, size=size)


def _lrn(p: Params, spec: ChipSpec) -> list[Instruction]:
    """A copy of all but `step` channels, and zeros in the others (FACTS_TPU 4.4)."""
    lanes, lane_bytes = spec.lanes, spec.lane_bytes
    step, right = p["lrn_step"], bool(p["right_shift"])
    source, target = local(p["src"]), local(p["dst"])
    n, c, h, w = source.shape
    kept, rest = (n, c - step, h, w), (n, step, h, w)

    def moved(tensor: Local, channels: int) -> int:
        lane = tensor.address // lane_bytes + channels
        offset = tensor.address % lane_bytes + lane // lanes * tensor.strides[1]
        return lane % lanes * lane_bytes + offset

    copy = Copy(
        source=replace(
            source, shape=kept, address=source.address if right else moved(source, step)
        ),
        target=replace(
            target, shape=kept, address=moved(target, step) if right else target.address
        ),
    )
    hole = target.address if right else moved(target, c - step)
    return [copy, Fill(target=replace(target, shape=rest, address=hole), value=0)]
