"""Matrix multiplication (FACTS_TPU 3.7), both directions.

The engine computes every column of the pieces, so that a decoded matrix always has
columns = c * w; only the left matrix tells its exact number of columns (K).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cvi_tpu.isa import tiu_fields as tiu
from cvi_tpu.isa.errors import require
from cvi_tpu.isa.geometry import (
    check_aligned,
    check_end,
    check_lane,
    check_matrix,
    check_start,
    groups,
    lane_of,
)
from cvi_tpu.isa.instructions import Const, MatMul
from cvi_tpu.isa.operands import Matrix, align, ceil_div
from cvi_tpu.isa.tiu_fields import FIRST, RESULT, SECOND, THIRD, Fields, Slot, Values

if TYPE_CHECKING:
    from cvi_tpu.chip import ChipSpec


def matrix_strides(c: int, w: int, bf16: bool, spec: ChipSpec, lane: int = 0) -> tuple[int, int]:
    """Row and piece-group strides of an aligned matrix in bytes (FACTS_TPU 2.2).

    lane: where the matrix starts; a row covers all groups that the busiest lane holds
    (measured).
    """
    group = align(w * (2 if bf16 else 1), spec.eu_bytes)
    return group * ceil_div(lane + c, spec.lanes), group


def bias_bytes(matmul: MatMul, spec: ChipSpec) -> int:
    """Bytes that the bias takes in the busiest lane; 0 without."""
    if matmul.bias is None:
        return 0
    result = matmul.result
    lane = lane_of(matmul.bias, spec)
    row, group = matrix_strides(result.c, result.w, result.bf16, spec, lane)
    planes = 2 if matmul.multiplier is None else 4
    in_lane = groups(matmul.bias, result.c, spec)
    return (planes - 1) * row + (in_lane - 1) * group + result.w * result.element_bytes


# -- legality --------------------------------------------------------------


def check_matmul(matmul: MatMul, spec: ChipSpec) -> None:
    result, left, right = matmul.result, matmul.left, matmul.right
    _check_operand("the result", result, matmul, spec)
    _check_operand("the left matrix", left, matmul, spec)
    require(left.rows == result.rows, "left has {} rows, result {}", left.rows, result.rows)
    require(left.columns <= spec.max_channels, "left has more than {} columns", spec.max_channels)
    if isinstance(right, Matrix):
        _check_operand("the right matrix", right, matmul, spec)
        require(right.rows == left.columns, "left columns and right rows differ")
        same = (right.c, right.w) == (result.c, result.w)
        require(same, "the right matrix and the result are cut differently")
    else:
        require("matrix_const" in spec.features, "{} has no constant matrices", spec.name)
        bits = 16 if left.bf16 else 8
        tiu.check_constant("the right matrix", right.value, bits, right.signed and not left.bf16)
    _check_bias(matmul, spec)
    _check_mode(matmul)
    _check_partial(matmul)
    _check_sign(matmul)


def _check_operand(what: str, matrix: Matrix, matmul: MatMul, spec: ChipSpec) -> None:
    check_matrix(what, matrix, spec)
    most = spec.max_channels
    fits = matrix.rows <= most and matrix.c <= most and matrix.w <= spec.max_size
    require(fits, "{} has more rows or pieces than the engine's {}", what, most)
    check_aligned(what, matrix.address, spec)
    check_lane(what, matrix.address, matmul.result.address, spec)
    lane = lane_of(matrix.address, spec)
    want = matrix_strides(matrix.c, matrix.w, matrix.bf16, spec, lane)
    require(matrix.strides == want, "{} must have the aligned strides {}", what, want)
    require(matrix.bf16 == matmul.result.bf16, "the matrices mix BF16 and integers")


def _check_bias(matmul: MatMul, spec: ChipSpec) -> None:
    if matmul.bias is None:
        return
    check_start("the bias", matmul.bias, spec)
    check_aligned("the bias", matmul.bias, spec)
    check_lane("the bias", matmul.bias, matmul.result.address, spec)
    check_end("the bias", matmul.bias % spec.lane_bytes + bias_bytes(matmul, spec), spec)


def _check_mode(matmul: MatMul) -> None:
    bf16 = matmul.result.bf16
    tiu.check_shift("the shift", matmul.shift, 0 if bf16 else 31)
    tiu.check_shift("the left shift", matmul.left_shift, 31 if matmul.add_result else 0)
    if matmul.multiplier is not None:
        tiu.check_constant("the multiplier", matmul.multiplier, 32, False)
        plain = not (bf16 or matmul.wide or matmul.add_result)
        require(plain, "a multiplier makes 8-bit results and adds nothing")
    if matmul.add_result:
        require(not (bf16 or matmul.relu), "the result is added only to integers, without relu")
    if matmul.wide:
        require(not (bf16 or matmul.relu), "16-bit results are integers without relu")


def _check_partial(matmul: MatMul) -> None:
    require(0 <= matmul.partial <= 3, "unknown partial sum mode {}", matmul.partial)
    plane = matmul.result.rows * matmul.result.strides[0] if matmul.partial else 0
    require(matmul.partial_plane == plane, "the partial sum planes must be {} apart", plane)
    if matmul.partial:
        narrow = not (matmul.wide or matmul.add_result)
        require(narrow, "partial sums exclude 16-bit results")
    if matmul.partial & 2:
        plain = matmul.bias is None and matmul.multiplier is None
        plain = plain and not (matmul.relu or matmul.shift)
        require(plain, "a stored partial sum takes no bias, multiplier, shift or relu")


def _check_sign(matmul: MatMul) -> None:
    if matmul.result.bf16:
        return
    any_signed = matmul.left.signed or matmul.right.signed
    require(
        matmul.result.signed == any_signed or (matmul.relu and any_signed),
        "the result must be {}",
        "signed (or have a relu)" if any_signed else "unsigned",
    )


# -- instruction to fields -------------------------------------------------


def matmul_fields(matmul: MatMul, spec: ChipSpec) -> Values:
    result, left, right = matmul.result, matmul.left, matmul.right
    bf16, bias, multiplier = result.bf16, matmul.bias, matmul.multiplier
    bias_sign = tiu.sign(matmul.bias_signed, bf16) if bias is not None else 0
    signs = (tiu.sign(left.signed, bf16), tiu.sign(right.signed, bf16), bias_sign)
    values: Values = {
        "tsk_typ": tiu.MATRIX,
        "tsk_opd_num": 2 if bias is None else 3,
        "opd_typ": int(bf16),
        "opt_shift_typ": int(any(signs)),
        "right_shift": matmul.shift,
        "opt_left_shift": matmul.left_shift,
        "relu": int(matmul.relu),
        "opt_res_add": int(matmul.add_result),
        "ps32_md": matmul.partial,
        RESULT.address: result.address,
        RESULT.eight_bit: int(not matmul.wide),
        RESULT.sign: tiu.sign(result.signed, bf16),
        FIRST.address: left.address,
        FIRST.sign: signs[0],
        SECOND.sign: signs[1],
    }
    tiu.put_shape(values, RESULT, (result.rows, result.c, 1, result.w))
    tiu.put_shape(values, FIRST, (left.rows, left.c, 1, left.w))
    last_width = left.columns - left.w * (left.c - 1)
    tiu.put_shape(values, SECOND, (left.columns, result.c, 1, last_width))
    if isinstance(right, Const):
        values["opt_opd1_const"] = 1
        values[SECOND.address] = tiu.twos(right.value, 16 if bf16 else 8)
    else:
        values[SECOND.address] = tiu.low16(right.address)
    if matmul.partial:
        values[RESULT.plane] = matmul.partial_plane
    if bias is not None:
        values[THIRD.address] = tiu.low16(bias)
        values[THIRD.eight_bit] = 0
        values[THIRD.sign] = bias_sign
        tiu.put_shape(values, THIRD, (1, result.c, 1, result.w))
    if multiplier is not None:
        values["opt_chl_quan"] = 1
        values["quan_m"] = multiplier
    return values


# -- fields to instruction -------------------------------------------------


def matmul_from(fields: Fields, spec: ChipSpec) -> MatMul:
    bf16 = tiu.is_bf16(fields)
    depth, last_width = fields[SECOND.shape[0]], fields[SECOND.shape[3]]
    result = _matrix_from(fields, RESULT, spec)
    left = _matrix_from(fields, FIRST, spec, last_width)
    require(left.columns == depth, "left has {} columns, right {} rows", left.columns, depth)
    require(fields[SECOND.shape[1]] == result.c, "right and result are cut differently")
    has_bias = fields["tsk_opd_num"] == 3
    if has_bias:
        same = (fields[THIRD.shape[1]], fields[THIRD.shape[3]]) == (result.c, result.w)
        require(same, "bias and result are cut differently")
    require(fields["relu"] <= 1, "unknown relu mode {}", fields["relu"])
    add_result, partial = bool(fields["opt_res_add"]), fields["ps32_md"]
    return MatMul(
        result=result,
        left=left,
        right=_right_from(fields, result, depth, spec),
        bias=tiu.get_address(fields, THIRD) if has_bias else None,
        bias_signed=bool(fields[THIRD.sign]) or bf16 or not has_bias,
        multiplier=fields["quan_m"] if fields["opt_chl_quan"] else None,
        shift=fields["right_shift"],
        left_shift=fields["opt_left_shift"] if add_result else 0,
        relu=bool(fields["relu"]),
        wide=fields[RESULT.eight_bit] == 0,
        add_result=add_result,
        partial=partial,
        partial_plane=fields[RESULT.plane] if partial else 0,
        layer=fields["layer_info"],
    )


def _matrix_from(
    fields: Fields, slot: Slot, spec: ChipSpec, last_width: int | None = None
) -> Matrix:
    """The matrix of an operand; last_width: columns of its last piece, all when None."""
    rows, c, height, w = tiu.get_shape(fields, slot)
    require(height == 1, "a matrix of height {}", height)
    require(fields[slot.short] == tiu.COMPUTED_STRIDES, "a matrix with its own strides")
    bf16 = tiu.is_bf16(fields)
    columns = c * w if last_width is None else w * (c - 1) + last_width
    address = tiu.get_address(fields, slot)
    strides = matrix_strides(c, w, bf16, spec, lane_of(address, spec))
    signed = bf16 or bool(fields[slot.sign])
    return Matrix(address, rows, columns, c, w, strides, signed, bf16)


def _right_from(fields: Fields, result: Matrix, depth: int, spec: ChipSpec) -> Matrix | Const:
    signed, bf16 = bool(fields[SECOND.sign]), result.bf16
    if fields["opt_opd1_const"]:
        bits = 16 if bf16 else 8
        value = tiu.from_twos(fields[SECOND.address], bits, signed and not bf16)
        return Const(value, signed or bf16)
    address = tiu.get_address(fields, SECOND)
    columns = result.c * result.w
    strides = matrix_strides(result.c, result.w, bf16, spec, lane_of(address, spec))
    return Matrix(address, depth, columns, result.c, result.w, strides, signed or bf16, bf16)
