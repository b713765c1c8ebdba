"""Convolution, depthwise convolution and pooling (FACTS_TPU 3.5, 3.6), both directions.

Each kind has three functions: `check_*` (is the instruction legal), `*_fields`
(instruction to field values) and `*_from` (field values to instruction).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cvi_tpu.isa import tiu_fields as tiu
from cvi_tpu.isa.errors import InstructionError, require
from cvi_tpu.isa.geometry import (
    check_aligned,
    check_default_strides,
    check_end,
    check_lane,
    check_start,
    check_tiu_tensor,
    groups,
    local_span,
)
from cvi_tpu.isa.instructions import Const, Conv, Depthwise, Pool, PoolOp, Quant
from cvi_tpu.isa.operands import Local, align, ceil_div
from cvi_tpu.isa.tiu_fields import FIRST, RESULT, SECOND, THIRD, Fields, Values
from cvi_tpu.isa.tiu_window import check_window, put_window, window_from

if TYPE_CHECKING:
    from cvi_tpu.chip import ChipSpec

DEPTHWISE = 2  # tsk_eu_typ
_POOLS = {op.value: op for op in PoolOp}


def weight_bytes(instruction: Conv | Depthwise, spec: ChipSpec) -> int:
    """Bytes that the weights take in the busiest lane (FACTS_TPU 2.3); 0 for a constant."""
    if isinstance(instruction.weight, Const):
        return 0
    kh, kw = instruction.window.kernel
    element = instruction.input.element_bytes
    channels = groups(instruction.weight, instruction.result.shape[1], spec)
    if isinstance(instruction, Depthwise):
        return channels * align(kh * kw * element, spec.eu_bytes)
    return channels * kh * kw * instruction.input.shape[1] * element


def has_records(instruction: Conv | Depthwise) -> bool:
    """Whether operand 2 (bias or requantisation records) is read."""
    quant = instruction.quant
    return quant.bias or (quant.per_channel and not instruction.partial & 2)


def record_bytes(instruction: Conv | Depthwise, spec: ChipSpec) -> int:
    """Bytes that bias or records take in the busiest lane; 0 without."""
    if not has_records(instruction):
        return 0
    channels = instruction.result.shape[1]
    in_lane = groups(instruction.quant.records, channels, spec)
    if instruction.quant.per_channel:
        return in_lane * (9 if instruction.quant.bias else 5)
    element = instruction.input.element_bytes
    return _bias_plane(channels, element, spec) + in_lane * element


def _bias_plane(channels: int, element_bytes: int, spec: ChipSpec) -> int:
    return ceil_div(channels, spec.lanes) * element_bytes


# -- legality --------------------------------------------------------------


def check_conv(conv: Conv, spec: ChipSpec) -> None:
    """The input may start in any lane: its address is a full one (FACTS_TPU 3.2). It has
    fewer channels than other tensors may have (measured: the vendor's simulators refuse more).
    """
    _check_tensors(conv.result, conv.input, spec)
    depth = conv.input.shape[1]
    require(depth <= spec.max_size, "the input has {} channels, more than {}", depth, spec.max_size)
    check_default_strides("the input", conv.input, spec)
    require(conv.result.strides[0] % 16 == 0, "the n stride of the result must be a multiple of 16")
    check_window(conv.window, conv.input, conv.result, spec)
    _check_weight(conv, spec)
    _check_quant(conv, spec)
    _check_partial(conv, spec)


def check_depthwise(depthwise: Depthwise, spec: ChipSpec) -> None:
    result, source = depthwise.result, depthwise.input
    _check_tensors(result, source, spec)
    check_lane("the input", source.address, result.address, spec)
    require(result.shape[1] == source.shape[1], "input and result differ in channels")
    check_window(depthwise.window, source, result, spec)
    _check_weight(depthwise, spec)
    if not isinstance(depthwise.weight, Const):
        check_aligned("the weight", depthwise.weight, spec)
    _check_quant(depthwise, spec)
    if depthwise.partial:
        known = depthwise.partial == 2 and source.bf16 and "depthwise_partial" in spec.features
        require(known, "{} has no such partial sums of depthwise convolutions", spec.name)
        _check_planes(depthwise, spec)
    else:
        require(depthwise.partial_plane == 0, "partial_plane without partial sums")


def check_pool(pool: Pool, spec: ChipSpec) -> None:
    result, source, window = pool.result, pool.input, pool.window
    _check_tensors(result, source, spec)
    check_lane("the input", source.address, result.address, spec)
    require(result.shape[1] == source.shape[1], "input and result differ in channels")
    require(result.signed == source.signed, "input and result differ in sign")
    check_default_strides("the input", source, spec)
    check_default_strides("the result", result, spec)
    check_window(window, source, result, spec, whole=False)
    require(window.dilation == (1, 1), "pooling has no dilation")
    if pool.op is PoolOp.AVG:
        bits = 16 if source.bf16 else 8
        tiu.check_constant("the multiplier", pool.multiplier, bits, False)
        tiu.check_shift("the shift", pool.shift, 0 if source.bf16 else 31)
        return
    require(pool.op is not PoolOp.MIN or "min_pool" in spec.features, "no MIN on {}", spec.name)
    require(window.insert == (0, 0) and window.insert_last == (0, 0), "only AVG inserts elements")
    require(pool.multiplier == 0 and pool.shift == 0, "{} does not multiply", pool.op.name)


def _check_tensors(result: Local, source: Local, spec: ChipSpec) -> None:
    check_tiu_tensor("the result", result, spec)
    check_tiu_tensor("the input", source, spec)
    require(result.plane == 0 and source.plane == 0, "window instructions have no planes")
    require(result.bf16 == source.bf16, "input and result mix BF16 and integers")
    require(result.shape[0] == source.shape[0], "input and result differ in n")


def _check_weight(instruction: Conv | Depthwise, spec: ChipSpec) -> None:
    weight = instruction.weight
    if isinstance(weight, Const):
        bits = 16 if instruction.input.bf16 else 8
        signed = weight.signed and not instruction.input.bf16
        tiu.check_constant("the weight", weight.value, bits, signed)
        return
    check_start("the weight", weight, spec)
    check_lane("the weight", weight, instruction.result.address, spec)
    end = weight % spec.lane_bytes + weight_bytes(instruction, spec)
    check_end("the weight", end, spec)


def _check_quant(instruction: Conv | Depthwise, spec: ChipSpec) -> None:
    quant, result, bf16 = instruction.quant, instruction.result, instruction.input.bf16
    if quant.per_channel:
        require(not bf16, "BF16 is not requantised per channel")
        require(quant.bias_signed, "the bias in a record is signed")
    plain = quant.per_channel or bf16
    tiu.check_shift("the shift", quant.shift, 0 if plain else 31)
    if has_records(instruction):
        check_start("the bias", quant.records, spec)
        check_aligned("the bias", quant.records, spec)
        check_lane("the bias", quant.records, result.address, spec)
        end = quant.records % spec.lane_bytes + record_bytes(instruction, spec)
        check_end("the bias", end, spec)
    else:
        require(quant.records == 0, "records without a bias or per-channel requantisation")
    if bf16:
        return
    any_signed = instruction.input.signed or _weight_signed(instruction)
    require(
        result.signed == any_signed or (quant.relu and any_signed),
        "the result must be {}",
        "signed (or have a relu)" if any_signed else "unsigned",
    )


def _check_partial(conv: Conv, spec: ChipSpec) -> None:
    require(0 <= conv.partial <= 3, "unknown partial sum mode {}", conv.partial)
    _check_planes(conv, spec)
    if conv.partial & 2:
        quant = conv.quant
        plain = not (quant.bias or quant.relu or quant.shift)
        require(plain, "a stored partial sum takes no bias, shift or relu")


def _check_planes(instruction: Conv | Depthwise, spec: ChipSpec) -> None:
    """Partial sums: four byte planes, or two BF16-sized ones (FACTS_TPU 2.3)."""
    result, partial = instruction.result, instruction.partial
    plane = result.shape[0] * result.strides[0] if partial else 0
    apart = instruction.partial_plane == plane
    require(apart, "the partial sum planes must be {} apart", plane)
    end = local_span(result, spec)[1] + (1 if result.bf16 else 3) * plane
    check_end("the partial sum", end, spec)


def _weight_signed(instruction: Conv | Depthwise) -> bool:
    weight = instruction.weight
    return weight.signed if isinstance(weight, Const) else instruction.weight_signed


# -- convolution -----------------------------------------------------------


def conv_fields(conv: Conv, spec: ChipSpec) -> Values:
    result, source, quant = conv.result, conv.input, conv.quant
    bf16 = source.bf16
    values: Values = {
        "tsk_typ": tiu.CONVOLUTION,
        "tsk_opd_num": 3 if quant.bias else 2,
        "opd_typ": int(bf16),
        "right_shift": quant.shift,
        "relu": int(quant.relu),
        "double_conv": int(_is_double(conv)),
        "opt_shift_typ": int(_arithmetic_shift(conv)),
        "ps32_md": conv.partial,
        RESULT.address: result.address,
        RESULT.sign: tiu.sign(result.signed, bf16),
        FIRST.address: source.address,
        FIRST.sign: tiu.sign(source.signed, bf16),
        SECOND.sign: tiu.sign(_weight_signed(conv), bf16),
        SECOND.short: tiu.PACKED_STRIDES,
    }
    tiu.put_shape(values, RESULT, result.shape)
    tiu.put_strides(values, RESULT, result.strides)
    tiu.put_shape(values, FIRST, source.shape)
    tiu.put_shape(values, SECOND, (source.shape[1], result.shape[1], *conv.window.kernel))
    put_window(values, conv.window, bf16)
    _put_weight(values, conv)
    if conv.partial:
        values[RESULT.plane] = conv.partial_plane
    if quant.per_channel:
        _put_records(values, conv)
    elif quant.bias:
        _put_bias(values, conv, spec)
        values[THIRD.sign] = tiu.sign(quant.bias_signed, bf16)
    return values


def _is_double(conv: Conv) -> bool:
    """Two input channels per cycle: needs even addresses and an even number of channels."""
    if conv.input.bf16 or isinstance(conv.weight, Const):
        return False
    channels = conv.input.shape[1]
    even = conv.input.address % 2 == 0 and conv.weight % 2 == 0 and channels % 2 == 0
    return even and channels >= 4


def _arithmetic_shift(conv: Conv) -> bool:
    bf16, quant = conv.input.bf16, conv.quant
    if tiu.sign(conv.input.signed, bf16) or tiu.sign(_weight_signed(conv), bf16):
        return True
    if quant.per_channel:
        return False
    return not quant.bias or bool(tiu.sign(quant.bias_signed, bf16))


def _put_weight(values: Values, instruction: Conv | Depthwise) -> None:
    weight = instruction.weight
    if isinstance(weight, Const):
        values["opt_opd1_const"] = 1
        values[SECOND.address] = tiu.twos(weight.value, 16 if instruction.input.bf16 else 8)
        values[SECOND.sign] = int(weight.signed)
    else:
        values[SECOND.address] = tiu.low16(weight)


def _put_records(values: Values, instruction: Conv | Depthwise) -> None:
    """Operand 2 of per-channel requantisation; partial sums only carry its flags."""
    values[THIRD.eight_bit] = 1
    values[THIRD.short] = tiu.VECTOR_STRIDES
    values[THIRD.plane] = 0
    if has_records(instruction):
        values["opt_chl_quan"] = 1
        values[THIRD.address] = tiu.low16(instruction.quant.records)
        tiu.put_shape(values, THIRD, (1, instruction.result.shape[1], 1, 1))
    if instruction.quant.bias:
        values[THIRD.sign] = 1


def _put_bias(values: Values, instruction: Conv | Depthwise, spec: ChipSpec) -> None:
    channels = instruction.result.shape[1]
    values[THIRD.eight_bit] = 0
    values[THIRD.short] = tiu.VECTOR_STRIDES
    values[THIRD.plane] = _bias_plane(channels, instruction.input.element_bytes, spec)
    values[THIRD.address] = tiu.low16(instruction.quant.records)
    tiu.put_shape(values, THIRD, (1, channels, 1, 1))


def conv_from(fields: Fields, spec: ChipSpec) -> Conv:
    source = tiu.get_local(fields, FIRST, spec)
    result = tiu.get_local(fields, RESULT, spec)
    ic, oc = fields[SECOND.shape[0]], fields[SECOND.shape[1]]
    require(
        (ic, oc) == (source.shape[1], result.shape[1]),
        "the weight has {} input and {} output channels, the tensors {} and {}",
        ic,
        oc,
        source.shape[1],
        result.shape[1],
    )
    partial = fields["ps32_md"]
    weight, weight_signed = _weight_from(fields)
    return Conv(
        result=result,
        input=source,
        weight=weight,
        window=window_from(fields),
        quant=_quant_from(fields, spec, partial),
        weight_signed=weight_signed,
        partial=partial,
        partial_plane=fields[RESULT.plane] if partial else 0,
        layer=fields["layer_info"],
    )


def _weight_from(fields: Fields) -> tuple[int | Const, bool]:
    signed, bf16 = bool(fields[SECOND.sign]), tiu.is_bf16(fields)
    if not fields["opt_opd1_const"]:
        return tiu.get_address(fields, SECOND), signed or bf16
    bits = 16 if bf16 else 8
    value = tiu.from_twos(fields[SECOND.address], bits, signed and not bf16)
    return Const(value, signed), True


def _quant_from(fields: Fields, spec: ChipSpec, partial: int) -> Quant:
    bias = fields["tsk_opd_num"] == 3
    per_channel = bool(fields["opt_chl_quan"])
    reads_records = bias or per_channel
    if partial & 2 and fields[THIRD.eight_bit] == 1 and not reads_records:
        per_channel = True
    require(fields["relu"] <= 1, "unknown relu mode {}", fields["relu"])
    if reads_records:
        _check_third(fields, spec, per_channel)
    return Quant(
        per_channel=per_channel,
        bias=bias,
        bias_signed=bool(fields[THIRD.sign]) or tiu.is_bf16(fields) or not bias,
        records=tiu.get_address(fields, THIRD) if reads_records else 0,
        shift=fields["right_shift"],
        relu=bool(fields["relu"]),
    )


def _check_third(fields: Fields, spec: ChipSpec, per_channel: bool) -> None:
    channels = fields[RESULT.shape[1]]
    require(fields[THIRD.shape[1]] == channels, "the bias is not one per output channel")
    if not per_channel:
        plane = _bias_plane(channels, 2 if tiu.is_bf16(fields) else 1, spec)
        require(fields[THIRD.plane] == plane, "the planes of the bias are not {} apart", plane)


# -- depthwise convolution -------------------------------------------------


def depthwise_fields(depthwise: Depthwise, spec: ChipSpec) -> Values:
    result, source, quant = depthwise.result, depthwise.input, depthwise.quant
    bf16 = source.bf16
    values: Values = {
        "tsk_typ": tiu.WINDOW,
        "tsk_eu_typ": DEPTHWISE,
        "tsk_opd_num": 3 if quant.bias else 2,
        "opd_typ": int(bf16),
        "right_shift": quant.shift,
        "relu": int(quant.relu),
        "opt_shift_typ": 1,
        RESULT.address: result.address,
        RESULT.sign: tiu.sign(result.signed, bf16),
        FIRST.address: source.address,
        FIRST.sign: tiu.sign(source.signed, bf16),
        SECOND.sign: int(_weight_signed(depthwise) or bf16),
    }
    tiu.put_shape(values, RESULT, result.shape)
    tiu.put_strides(values, RESULT, result.strides)
    tiu.put_shape(values, FIRST, source.shape)
    tiu.put_strides(values, FIRST, source.strides)
    tiu.put_shape(values, SECOND, (1, result.shape[1], *depthwise.window.kernel))
    put_window(values, depthwise.window, bf16)
    _put_weight(values, depthwise)
    if quant.per_channel:
        _put_records(values, depthwise)
        return values
    if "depthwise_partial" in spec.features:
        values[RESULT.plane] = result.shape[0] * result.strides[0]
        values["ps32_md"] = depthwise.partial
    if quant.bias:
        _put_bias(values, depthwise, spec)
        values[THIRD.sign] = int(quant.bias_signed or bf16)
    return values


def depthwise_from(fields: Fields, spec: ChipSpec) -> Depthwise:
    result = tiu.get_local(fields, RESULT, spec)
    require(fields[SECOND.shape[1]] == result.shape[1], "weight and result differ in channels")
    partial = fields["ps32_md"]
    weight, weight_signed = _weight_from(fields)
    return Depthwise(
        result=result,
        input=tiu.get_local(fields, FIRST, spec),
        weight=weight,
        window=window_from(fields),
        quant=_quant_from(fields, spec, 0),
        weight_signed=weight_signed,
        partial=partial,
        partial_plane=fields[RESULT.plane] if partial else 0,
        layer=fields["layer_info"],
    )


# -- pooling ---------------------------------------------------------------


def pool_fields(pool: Pool, spec: ChipSpec) -> Values:
    source = pool.input
    signed = tiu.sign(source.signed, source.bf16)
    is_average = pool.op is PoolOp.AVG
    values: Values = {
        "tsk_typ": tiu.WINDOW,
        "tsk_eu_typ": pool.op.value,
        "tsk_opd_num": 2 if is_average else 1,
        "opd_typ": int(source.bf16),
        "right_shift": pool.shift,
        "relu": 0,
        "opt_shift_typ": signed,
        RESULT.address: pool.result.address,
        RESULT.sign: signed,
        FIRST.address: source.address,
        FIRST.sign: signed,
    }
    tiu.put_shape(values, RESULT, pool.result.shape)
    tiu.put_shape(values, FIRST, source.shape)
    put_window(values, pool.window, source.bf16)
    if is_average:
        values["opt_opd1_const"] = 1
        values[SECOND.address] = pool.multiplier
        values[SECOND.sign] = 0
    return values


def pool_from(fields: Fields, spec: ChipSpec) -> Pool:
    op = _POOLS.get(fields["tsk_eu_typ"])
    if op is None:
        raise InstructionError(f"unknown pooling operation {fields['tsk_eu_typ']}")
    is_average = op is PoolOp.AVG
    require(not is_average or bool(fields["opt_opd1_const"]), "AVG without a constant")
    return Pool(
        op=op,
        result=tiu.get_local(fields, RESULT, spec),
        input=tiu.get_local(fields, FIRST, spec),
        window=window_from(fields),
        multiplier=fields[SECOND.address] if is_average else 0,
        shift=fields["right_shift"],
        layer=fields["layer_info"],
    )
