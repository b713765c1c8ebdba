"""Data movement instructions (FACTS_TPU 4), both directions.

Each kind has three functions: `check_*` (is the instruction legal), `*_fields`
(instruction to field values) and `*_from` (field values to instruction).

The flag int8_sign tells whether the 8-bit side is signed. Where nothing is converted it has
no effect, so it simply carries the `signed` of the 8-bit operands (FACTS_TPU 4.3).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cvi_tpu.isa.errors import InstructionError, require
from cvi_tpu.isa.geometry import (
    check_aligned,
    check_dram,
    check_dram_address,
    check_matrix,
    check_start,
    check_tdma_local,
)
from cvi_tpu.isa.instructions import Copy, Fill, LinearCopy, MatrixCopy, Tdma, Transpose
from cvi_tpu.isa.operands import Dram, Local, Matrix, Shape4, dense, dram_matrix

if TYPE_CHECKING:
    from cvi_tpu.chip import ChipSpec

Values = dict[str, int]
Fields = Mapping[str, int]
Tensor = Local | Dram

LOAD, STORE, MOVE, LOCAL = range(4)  # trans_dir: DRAM to local, back, DRAM to DRAM, local to local
PLAIN, TRANSPOSED, CONSTANT = 0, 1, 4  # spec_func
EIGHT_BIT, BF16 = 1, 2  # formats, which are also element bytes

_TRANSPOSES = {mode.value: mode for mode in Transpose}


@dataclass(frozen=True)
class _Side:
    """Field names of the source or the destination."""

    prefix: str
    n_stride: str
    c_low: str
    c_high: str
    h_stride: str
    low: str
    high: str
    region: str
    format: str
    c: str
    h: str
    w: str


def _side(p: str) -> _Side:
    return _Side(
        p,
        f"{p}_n_stride",
        f"{p}_c_stride_low",
        f"{p}_c_stride_high",
        f"{p}_h_stride",
        f"{p}_base_addr_low",
        f"{p}_base_addr_high",
        f"{p}_base_reg_sel",
        f"{p}_fmt",
        f"{p}_c",
        f"{p}_h",
        f"{p}_w",
    )


SOURCE, TARGET = _side("src"), _side("dst")


def direction(source: object, target: object) -> int:
    """trans_dir of a movement between these operands; everything but Dram is local."""
    if isinstance(source, Dram):
        return MOVE if isinstance(target, Dram) else LOAD
    return STORE if isinstance(target, Dram) else LOCAL


def _format(bf16: bool) -> int:
    return BF16 if bf16 else EIGHT_BIT


# -- fields of one side ----------------------------------------------------


def _put_address(
    values: Values, side: _Side, operand: Tensor | Matrix | int, spec: ChipSpec
) -> None:
    if isinstance(operand, Dram):
        values[side.region] = operand.region
        address = operand.address + spec.dram_start
    else:
        address = operand if isinstance(operand, int) else operand.address
    values[side.low] = address & 0xFFFFFFFF
    values[side.high] = address >> 32


def _put_strides(values: Values, side: _Side, n: int, c: int, h: int) -> None:
    values[side.n_stride] = n
    values[side.h_stride] = h
    _put_c_stride(values, side, c)


def _put_c_stride(values: Values, side: _Side, stride: int) -> None:
    values[side.c_low] = stride & 0xFFFF
    values[side.c_high] = stride >> 16


def _put_tensor(values: Values, side: _Side, tensor: Tensor, spec: ChipSpec) -> None:
    """Everything but n, which both sides share."""
    _, values[side.c], values[side.h], values[side.w] = tensor.shape
    n, c, h = tensor.strides[:3]
    _put_strides(values, side, n, c, h)
    _put_address(values, side, tensor, spec)
    values[side.format] = _format(tensor.bf16)


def _get_address(fields: Fields, side: _Side) -> int:
    return fields[side.low] | fields[side.high] << 32


def _get_dram_address(fields: Fields, side: _Side, spec: ChipSpec) -> int:
    address = _get_address(fields, side) - spec.dram_start
    require(address >= 0, "the DRAM address lies {} below the start of DRAM", -address)
    return address


def _get_c_stride(fields: Fields, side: _Side) -> int:
    return fields[side.c_low] | fields[side.c_high] << 16


def _get_tensor(
    fields: Fields, side: _Side, local: bool, n: int, signed: bool, spec: ChipSpec
) -> Tensor:
    bf16 = _is_bf16(fields, side)
    shape: Shape4 = (n, fields[side.c], fields[side.h], fields[side.w])
    strides = (fields[side.n_stride], _get_c_stride(fields, side), fields[side.h_stride])
    if local:
        return Local(
            _get_address(fields, side), shape, (*strides, 2 if bf16 else 1), signed or bf16, bf16
        )
    address = _get_dram_address(fields, side, spec)
    return Dram(fields[side.region], address, shape, strides, signed or bf16, bf16)


def _is_bf16(fields: Fields, side: _Side) -> bool:
    number = fields[side.format]
    require(number in (EIGHT_BIT, BF16), "unknown number format {}", number)
    return number == BF16


def _check_tensor(what: str, tensor: Tensor, spec: ChipSpec) -> None:
    if isinstance(tensor, Local):
        check_tdma_local(what, tensor, spec)
    else:
        check_dram(what, tensor, spec)


# -- number formats --------------------------------------------------------


def _check_formats(source: Tensor | Matrix, target: Tensor | Matrix, round_zero: bool) -> None:
    """Which conversions are offered (FACTS_TPU 4.3)."""
    way = direction(source, target)
    if source.bf16 == target.bf16:
        same = source.bf16 or source.signed == target.signed
        require(same, "a copy does not turn signed into unsigned bytes; give both one sign")
    elif target.bf16:
        require(way in (LOAD, LOCAL), "8-bit to BF16 is converted on loads and local copies only")
    else:
        require(way in (STORE, LOCAL), "BF16 to 8-bit is converted on stores and local copies only")
    narrows = source.bf16 and not target.bf16
    require(narrows or not round_zero, "only BF16 to 8-bit rounds")


def _sign(source: Tensor | Matrix, target: Tensor | Matrix) -> int:
    """int8_sign: whether the 8-bit side is signed."""
    side = target if source.bf16 else source
    return int(side.signed and not side.bf16)


# -- codec fields ----------------------------------------------------------


def _check_codec(move: Copy | MatrixCopy, dram: Dram | None, spec: ChipSpec) -> None:
    """FACTS_TPU 4.5: a stream is contiguous and 16-byte aligned in DRAM."""
    if not move.compressed:
        plain = not (move.zero_guard or move.bias0 or move.bias1)
        require(plain, "codec parameters without compression")
        return
    if dram is None:
        raise InstructionError("only loads and stores can be compressed")
    require(move.source.bf16 == move.target.bf16, "a compressed copy converts nothing")
    check_aligned("the compressed stream", dram.address, spec)
    stored = direction(move.source, move.target) == STORE
    parameters = move.zero_guard or move.bias0 or move.bias1
    require(stored or not parameters, "a stream carries its own codec parameters")
    for bias in (move.bias0, move.bias1):
        require(0 <= bias <= 255, "codec bias {}; it must be 0 to 255", bias)


def _put_codec(values: Values, move: Copy | MatrixCopy, signed: int) -> None:
    values["compress_en"] = 1
    values["cmprs_fmt"] = signed
    values["compress_zero_guard"] = int(move.zero_guard)
    values["compress_bias0"] = move.bias0
    values["compress_bias1"] = move.bias1


# -- tensor copy -----------------------------------------------------------


def check_copy(copy: Copy, spec: ChipSpec) -> None:
    source, target = copy.source, copy.target
    _check_tensor("the source", source, spec)
    _check_tensor("the target", target, spec)
    _check_formats(source, target, copy.int8_round_zero)
    drams = [side for side in (source, target) if isinstance(side, Dram)]
    _check_codec(copy, drams[0] if len(drams) == 1 else None, spec)
    if copy.compressed:
        require(copy.transpose is None, "a compressed copy does not transpose")
        require(_is_dense(drams[0]), "{}", _DENSE)
    if copy.transpose is None:
        _check_counts(source.shape, target.shape)
    else:
        _check_transpose(copy, copy.transpose)
    if copy.lut_index or copy.lut_base:
        _check_table_move(copy)


_DENSE = "a compressed stream is contiguous in DRAM"


def _is_dense(tensor: Dram) -> bool:
    """Contiguous; the stride of a dimension of size 1 says nothing."""
    want = dense(tensor.shape, tensor.element_bytes)
    pairs = zip(tensor.shape, tensor.strides, want, strict=False)
    return all(size == 1 or stride == right for size, stride, right in pairs)


def _check_counts(source: Shape4, target: Shape4) -> None:
    same = source[0] == target[0] and (
        source[1] * source[2] * source[3] == target[1] * target[2] * target[3]
    )
    require(same, "{} elements cannot be copied to {}", source, target)


def _check_transpose(copy: Copy, mode: Transpose) -> None:
    n, c, h, w = copy.source.shape
    way = direction(copy.source, copy.target)
    want = {Transpose.NC: (c, n, h, w), Transpose.CW: (n, w, h, c)}.get(mode, (n, c, h, w))
    require(copy.target.shape == want, "the target is {}, not {}", copy.target.shape, want)
    if mode is Transpose.NC:
        require(way in (LOAD, STORE), "n and c are exchanged on loads and stores only")
        return
    require(not (copy.source.bf16 or copy.target.bf16), "{} moves 8-bit data only", mode.name)
    if mode is Transpose.CW:
        require(way == STORE, "c and w are exchanged on stores only")
        return
    channels = 3 if mode is Transpose.HWC3 else 4
    require(way == LOAD and c == channels, "{} is a load of {} channels", mode.name, channels)
    require(copy.source.strides[1] == 1, "the channels of interleaved data are 1 byte apart")


def _check_table_move(copy: Copy) -> None:
    require(not (copy.lut_index and copy.lut_base), "index and base moves exclude each other")
    local = direction(copy.source, copy.target) == LOCAL and copy.source.bf16 and copy.target.bf16
    require(local, "table moves are local copies of BF16")


def copy_fields(copy: Copy, spec: ChipSpec) -> Values:
    source, target = copy.source, copy.target
    way, signed = direction(source, target), _sign(source, target)
    stores_stream = copy.compressed and way == STORE
    values: Values = {
        "trans_dir": way,
        "src_n": source.shape[0],
        "int8_sign": 0 if stores_stream else signed,
        "int8_rnd_mode": int(copy.int8_round_zero),
        "mv_lut_idx": int(copy.lut_index),
        "mv_lut_base": int(copy.lut_base),
    }
    _put_tensor(values, SOURCE, source, spec)
    _put_tensor(values, TARGET, target, spec)
    if copy.transpose is not None:
        values["spec_func"] = TRANSPOSED
        values["transpose_md"] = copy.transpose.value
    if copy.compressed:
        _put_codec(values, copy, signed)
    return values


def copy_from(fields: Fields, spec: ChipSpec) -> Copy:
    way, n = fields["trans_dir"], fields["src_n"]
    compressed = bool(fields["compress_en"])
    signed = bool(fields["cmprs_fmt"] if compressed else fields["int8_sign"])
    transpose = _TRANSPOSES[fields["transpose_md"]] if fields["spec_func"] else None
    target_n = fields[SOURCE.c] if transpose is Transpose.NC else n
    return Copy(
        source=_get_tensor(fields, SOURCE, way in (STORE, LOCAL), n, signed, spec),
        target=_get_tensor(fields, TARGET, way in (LOAD, LOCAL), target_n, signed, spec),
        transpose=transpose,
        int8_round_zero=bool(fields["int8_rnd_mode"]),
        compressed=compressed,
        zero_guard=bool(fields["compress_zero_guard"]),
        bias0=fields["compress_bias0"],
        bias1=fields["compress_bias1"],
        lut_index=bool(fields["mv_lut_idx"]),
        lut_base=bool(fields["mv_lut_base"]),
        layer=fields["layer_ID"],
    )


# -- fill ------------------------------------------------------------------


def check_fill(fill: Fill, spec: ChipSpec) -> None:
    _check_tensor("the target", fill.target, spec)
    highest = 0xFFFF if fill.target.bf16 else 0xFF
    require(0 <= fill.value <= highest, "fill value {}; it must be 0 to {}", fill.value, highest)


def fill_fields(fill: Fill, spec: ChipSpec) -> Values:
    target = fill.target
    values: Values = {
        "trans_dir": LOAD if isinstance(target, Local) else STORE,
        "spec_func": CONSTANT,
        "const_val": fill.value,
        "src_n": target.shape[0],
        "int8_sign": int(target.signed and not target.bf16),
        SOURCE.format: _format(target.bf16),
    }
    _put_tensor(values, TARGET, target, spec)
    return values


def fill_from(fields: Fields, spec: ChipSpec) -> Fill:
    way = fields["trans_dir"]
    require(way in (LOAD, STORE), "a fill in direction {}", way)
    signed = bool(fields["int8_sign"])
    target = _get_tensor(fields, TARGET, way == LOAD, fields["src_n"], signed, spec)
    value = fields["const_val"] if target.bf16 else fields["const_val"] & 0xFF
    return Fill(target=target, value=value, layer=fields["layer_ID"])


# -- matrix copy -----------------------------------------------------------


def check_matrix_copy(copy: MatrixCopy, spec: ChipSpec) -> None:
    dram, local = _matrix_sides(copy)
    check_matrix("the local matrix", local, spec)
    n, rows, height, columns = dram.shape
    require(n == 1 and height == 1, "the DRAM side of a matrix has the shape (1, rows, 1, columns)")
    check_dram("the DRAM matrix", dram, spec)
    _check_formats(copy.source, copy.target, False)
    _check_codec(copy, dram, spec)
    if copy.transposed:
        require(direction(copy.source, copy.target) == LOAD, "only loads transpose a matrix")
        require(not (dram.bf16 or local.bf16), "only 8-bit matrices are transposed")
        require(not copy.compressed, "a compressed copy does not transpose")
        rows, columns = columns, rows
    if copy.compressed:
        require(dram.strides[1] == columns * dram.element_bytes, "{}", _DENSE)
    same = (local.rows, local.columns) == (rows, columns)
    require(same, "{} x {} cannot be copied to {} x {}", local.rows, local.columns, rows, columns)


def _matrix_sides(copy: MatrixCopy) -> tuple[Dram, Matrix]:
    source, target = copy.source, copy.target
    if isinstance(source, Dram) and isinstance(target, Matrix):
        return source, target
    if isinstance(source, Matrix) and isinstance(target, Dram):
        return target, source
    raise InstructionError("a matrix is copied between DRAM and local memory")


def matrix_copy_fields(copy: MatrixCopy, spec: ChipSpec) -> Values:
    dram, local = _matrix_sides(copy)
    way, signed = direction(copy.source, copy.target), _sign(copy.source, copy.target)
    outer, inner = (SOURCE, TARGET) if way == LOAD else (TARGET, SOURCE)
    row, group = local.strides
    values: Values = {
        "trans_dir": way,
        "sys_dtype": 1,
        "spec_func": int(copy.transposed),
        "int8_sign": signed,
        "src_n": dram.shape[1] if way == LOAD else local.rows,
        outer.c: dram.shape[1],
        outer.w: dram.shape[3],
        outer.format: _format(dram.bf16),
        inner.c: local.c,
        inner.h: 1,
        inner.w: local.w,
        inner.format: _format(local.bf16),
    }
    _put_c_stride(values, outer, dram.strides[1])
    _put_strides(values, inner, row, group, local.w * local.element_bytes)
    _put_address(values, outer, dram, spec)
    _put_address(values, inner, local, spec)
    if copy.compressed:
        _put_codec(values, copy, signed)
    return values


def matrix_copy_from(fields: Fields, spec: ChipSpec) -> MatrixCopy:
    way = fields["trans_dir"]
    require(way in (LOAD, STORE), "a matrix copy in direction {}", way)
    outer, inner = (SOURCE, TARGET) if way == LOAD else (TARGET, SOURCE)
    compressed = bool(fields["compress_en"])
    signed = bool(fields["cmprs_fmt"] if compressed else fields["int8_sign"])
    dram_bf16, bf16 = _is_bf16(fields, outer), _is_bf16(fields, inner)
    require(fields["transpose_md"] == 0, "a matrix copy has no transpose mode")
    rows, columns = fields[outer.c], fields[outer.w]
    dram = dram_matrix(
        fields[outer.region],
        _get_dram_address(fields, outer, spec),
        rows,
        columns,
        row_stride=_get_c_stride(fields, outer),
        signed=signed or dram_bf16,
        bf16=dram_bf16,
    )
    transposed = fields["spec_func"] == TRANSPOSED
    local = Matrix(
        _get_address(fields, inner),
        columns if transposed else rows,
        rows if transposed else columns,
        fields[inner.c],
        fields[inner.w],
        (fields[inner.n_stride], _get_c_stride(fields, inner)),
        signed or bf16,
        bf16,
    )
    return MatrixCopy(
        source=dram if way == LOAD else local,
        target=local if way == LOAD else dram,
        transposed=transposed,
        compressed=compressed,
        zero_guard=bool(fields["compress_zero_guard"]),
        bias0=fields["compress_bias0"],
        bias1=fields["compress_bias1"],
        layer=fields["layer_ID"],
    )


# -- linear copy -----------------------------------------------------------


def check_linear(copy: LinearCopy, spec: ChipSpec) -> None:
    require(1 <= copy.size < 1 << 32, "a linear copy of {} bytes", copy.size)
    way = direction(copy.source, copy.target)
    require(way != LOCAL, "a linear copy has at least one side in DRAM")
    for what, side in (("the source", copy.source), ("the target", copy.target)):
        if isinstance(side, Dram):
            _check_linear_dram(what, side, copy.size, spec, shaped=way == MOVE)
        else:
            check_start(what, side, spec)
            most = spec.lanes * spec.lane_bytes - side
            require(copy.size <= most, "{} has {} bytes left, not {}", what, most, copy.size)


def _check_linear_dram(what: str, dram: Dram, size: int, spec: ChipSpec, *, shaped: bool) -> None:
    """shaped: the descriptor carries dimensions, so that they have their limits."""
    n, c, h, w = dram.shape
    count = n * c * h * w * dram.element_bytes
    require(count == size, "{} has {} bytes, not {}", what, count, size)
    if shaped:
        check_dram(what, dram, spec)
    else:
        check_dram_address(what, dram, spec)


def linear_fields(copy: LinearCopy, spec: ChipSpec) -> Values:
    source, target = copy.source, copy.target
    way = direction(source, target)
    values: Values = {"trans_dir": way, "trans_fmt": 1}
    if isinstance(source, Dram) and isinstance(target, Dram):
        values["src_n"] = source.shape[0]
        _put_tensor(values, SOURCE, source, spec)
        _put_tensor(values, TARGET, target, spec)
        return values
    values[SOURCE.n_stride] = copy.size
    _put_address(values, SOURCE, source, spec)
    _put_address(values, TARGET, target, spec)
    return values


def linear_from(fields: Fields, spec: ChipSpec) -> LinearCopy:
    way = fields["trans_dir"]
    layer = fields["layer_ID"]
    if way == MOVE:
        n = fields["src_n"]
        source = _get_tensor(fields, SOURCE, False, n, False, spec)
        target = _get_tensor(fields, TARGET, False, n, False, spec)
        count = n * source.shape[1] * source.shape[2] * source.shape[3] * source.element_bytes
        if isinstance(source, Dram) and isinstance(target, Dram):
            return LinearCopy(source=source, target=target, size=count, layer=layer)
    require(way in (LOAD, STORE), "a linear copy in direction {}", way)
    size = fields[SOURCE.n_stride]
    outer, inner = (SOURCE, TARGET) if way == LOAD else (TARGET, SOURCE)
    shape: Shape4 = (1, 1, 1, size)
    dram = Dram(
        fields[outer.region], _get_dram_address(fields, outer, spec), shape, dense(shape), False
    )
    local = _get_address(fields, inner)
    if way == LOAD:
        return LinearCopy(source=dram, target=local, size=size, layer=layer)
    return LinearCopy(source=local, target=dram, size=size, layer=layer)


# -- which kind ------------------------------------------------------------

_UNUSED = (
    "outstanding_en",
    "intra_cmd_paral",
    "wait_id_other_tdma",
    "wait_id_sdma",
    "check_bf16_value",
)


def tdma_from(fields: Fields, spec: ChipSpec) -> Tdma:
    """The instruction of any TDMA descriptor."""
    for name in _UNUSED:
        require(fields[name] == 0, "the descriptor sets {}, whose meaning is unknown", name)
    function = fields["spec_func"]
    if fields["trans_fmt"]:
        require(function == PLAIN, "a linear copy with function {}", function)
        return linear_from(fields, spec)
    if fields["sys_dtype"]:
        require(function in (PLAIN, TRANSPOSED), "a matrix copy with function {}", function)
        return matrix_copy_from(fields, spec)
    if function == CONSTANT:
        return fill_from(fields, spec)
    if function in (PLAIN, TRANSPOSED):
        return copy_from(fields, spec)
    raise InstructionError(f"unknown function {function}")
