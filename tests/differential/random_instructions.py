"""Random legal instructions of the compute engine, a list per kind.

Local memory is cut into offsets for inputs, weights, records and results, the same in
every lane.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
from local_programs import Bytes, random_memory

from cvi_tpu.chip import ChipSpec
from cvi_tpu.isa.codec import check
from cvi_tpu.isa.errors import InstructionError
from cvi_tpu.isa.instructions import (
    Arith,
    ArithOp,
    Const,
    Conv,
    Depthwise,
    Instruction,
    Lut,
    MatMul,
    Pool,
    PoolOp,
    Quant,
    Window,
)
from cvi_tpu.isa.operands import Local, Matrix, Shape4, align, ceil_div, local_strides

INPUTS, WEIGHTS, RECORDS, RESULTS = 0, 8192, 16384, 18432
RECORD = 9


class Random:
    """Random numbers, and the chip that they are for."""

    def __init__(self, seed: int, spec: ChipSpec) -> None:
        self._random = np.random.default_rng(seed)
        self.spec = spec

    def channels(self) -> int:
        """Up to a bit more than two groups of lanes."""
        return self.number(1, 2 * self.spec.lanes + 6)

    def number(self, low: int, high: int) -> int:
        """An integer in [low, high]."""
        return int(self._random.integers(low, high + 1))

    def flag(self) -> bool:
        return bool(self.number(0, 1))


def _tensor(r: Random, address: int, shape: Shape4, signed: bool) -> Local:
    return Local(address, shape, local_strides(shape, r.spec.lanes), signed)


def _window(r: Random, *, insert: bool = True) -> Window:
    def pair(low: int, high: int) -> tuple[int, int]:
        return r.number(low, high), r.number(low, high)

    pads = (r.number(0, 2), r.number(0, 2), r.number(0, 2), r.number(0, 2))
    return Window(
        kernel=pair(1, 3),
        stride=pair(1, 3),
        dilation=pair(1, 2),
        pads=pads,
        insert=pair(0, 2) if insert else (0, 0),
        insert_last=pair(0, 1) if insert else (0, 0),
        fill=r.number(0, 100),
    )


def _output(window: Window, h: int, w: int) -> tuple[int, int]:
    sizes = []
    for axis, size in enumerate((h, w)):
        full = (size - 1) * (window.insert[axis] + 1) + 1 + window.insert_last[axis]
        full += window.pads[axis] + window.pads[axis + 2]
        extent = (window.kernel[axis] - 1) * window.dilation[axis] + 1
        sizes.append((full - extent) // window.stride[axis] + 1)
    return sizes[0], sizes[1]


def _quant(r: Random) -> Quant:
    per_channel = r.flag()
    return Quant(
        per_channel=per_channel,
        bias=r.flag(),
        records=RECORDS,
        shift=0 if per_channel else r.number(0, 14),
        relu=r.flag(),
    )


def conv(r: Random) -> Conv:
    n, ic, oc = r.number(1, 2), r.channels(), r.channels()
    h, w, window = r.number(1, 7), r.number(1, 7), _window(r)
    signed, weight_signed, quant = r.flag(), r.flag(), _quant(r)
    signed_result = not (quant.relu and r.flag())
    if not (signed or weight_signed):
        # all unsigned: the engine wants an unsigned bias and result and no relu
        quant = Quant(bias=True, bias_signed=False, records=RECORDS, shift=r.number(8, 20))
        signed_result = False
    result = _tensor(r, RESULTS, (n, oc, *_output(window, h, w)), signed_result)
    return Conv(
        result=result,
        input=_tensor(r, INPUTS, (n, ic, h, w), signed),
        weight=WEIGHTS,
        weight_signed=weight_signed,
        window=window,
        quant=quant,
    )


def conv_partial(r: Random) -> Conv:
    op = conv(r)
    result = replace(op.result, signed=True)
    plane = result.shape[0] * result.strides[0]
    partial = r.number(1, 3)
    quant = op.quant if partial == 1 else Quant()
    return replace(op, result=result, partial=partial, partial_plane=plane, quant=quant)


def depthwise(r: Random) -> Depthwise:
    n, c, h, w, window = r.number(1, 2), r.channels(), r.number(1, 7), r.number(1, 7), _window(r)
    return Depthwise(
        result=_tensor(r, RESULTS, (n, c, *_output(window, h, w)), True),
        input=_tensor(r, INPUTS, (n, c, h, w), r.flag()),
        weight=WEIGHTS,
        window=window,
        quant=_quant(r),
    )


def pool(r: Random, kind: PoolOp | None = None) -> Pool:
    kind = kind or (PoolOp.AVG if r.flag() else PoolOp.MAX)
    window = replace(_window(r, insert=kind is PoolOp.AVG), dilation=(1, 1))
    n, c, h, w = r.number(1, 2), r.channels(), r.number(2, 7), r.number(2, 7)
    signed = r.flag()
    rows, columns = _output(window, h, w)
    if r.number(0, 3) == 0:  # not all that the window makes
        rows, columns = r.number(1, max(1, rows)), r.number(1, max(1, columns))
    return Pool(
        op=kind,
        result=_tensor(r, RESULTS, (n, c, rows, columns), signed),
        input=_tensor(r, INPUTS, (n, c, h, w), signed),
        window=window,
        multiplier=r.number(0, 255) if kind is PoolOp.AVG else 0,
        shift=r.number(0, 12) if kind is PoolOp.AVG else 0,
    )


def _shape(r: Random) -> Shape4:
    return r.number(1, 2), r.channels(), r.number(1, 6), r.number(1, 6)


def _operand(r: Random, address: int, shape: Shape4, signed: bool, *, wide: bool = False) -> Local:
    """A tensor, sometimes one that repeats along h or w."""
    tensor = _tensor(r, address, shape, signed)
    plane = shape[0] * tensor.strides[0] if wide else 0
    sn, sc, sh, sw = tensor.strides
    if r.number(0, 3) == 0:
        sh, sw = (0, sw) if r.flag() else (0, 0)
    return replace(tensor, strides=(sn, sc, sh, sw), plane=plane)


def _arith(op: ArithOp, wide: bool, **most: int) -> Callable[[Random], Arith]:
    def make(r: Random) -> Arith:
        # a difference is signed, which the engine refuses for unsigned operands
        shape, signed = _shape(r), op is ArithOp.SUB or r.flag()
        constant = r.number(0, 3) == 0 and op is not ArithOp.SHIFT
        top = 30000 if wide else 100
        right: Local | Const = _operand(r, WEIGHTS, shape, signed, wide=wide)
        if constant:
            right = Const(r.number(-top if signed else 0, top), signed)
        wide_result = wide or op is ArithOp.MAC or (op is ArithOp.MUL and r.flag())
        result = _tensor(r, RESULTS, shape, signed)
        plane = shape[0] * result.strides[0] if wide_result else 0
        return Arith(
            op=op,
            result=replace(result, plane=plane),
            left=_operand(r, INPUTS, shape, signed, wide=wide),
            right=right,
            shift=r.number(0, most.get("shift", 0)),
            left_shift=r.number(0, most.get("left_shift", 0)),
            relu=r.flag() and result.signed and not wide_result,
            narrow=op is ArithOp.MAC and r.flag(),
        )

    return make


def mul_qm(r: Random) -> Arith:
    op = _arith(ArithOp.MUL, False)(r)
    op = replace(op, result=replace(op.result, plane=0), shift=r.number(0, 12))
    return replace(op, multiplier=r.number(1 << 30, (1 << 31) - 1))


def add_8bit_result(r: Random) -> Arith:
    op = _arith(ArithOp.ADD, True, shift=10)(r)
    return replace(op, result=replace(op.result, plane=0))


def lut(r: Random) -> Lut:
    shape = _shape(r)
    return Lut(
        result=_tensor(r, RESULTS, shape, False),
        input=_tensor(r, INPUTS, shape, False),
        table=WEIGHTS,
    )


def _matrix(r: Random, address: int, rows: int, columns: int, signed: bool) -> Matrix:
    lanes = r.spec.lanes
    w = 16 * ceil_div(columns, 16 * lanes) if columns >= 16 else columns
    c = ceil_div(columns, w)
    group = align(w, 16)
    return Matrix(address, rows, columns, c, w, (group * ceil_div(c, lanes), group), signed)


def matmul(r: Random) -> MatMul:
    rows, depth, columns = r.number(1, 5), r.number(1, 200), r.number(1, 200)
    signed = r.flag()
    qm, wide = r.flag(), False
    if not qm:
        wide = r.flag()
    add = not qm and wide and r.flag()
    relu = r.flag() and not wide and not add
    return MatMul(
        result=_matrix(r, RESULTS, rows, columns, True),
        left=_matrix(r, INPUTS, rows, depth, signed),
        right=_matrix(r, WEIGHTS, depth, columns, True),
        bias=RECORDS if r.flag() else None,
        multiplier=r.number(1 << 30, (1 << 31) - 1) if qm else None,
        shift=r.number(0, 14),
        left_shift=r.number(0, 31) if add else 0,
        wide=wide,
        add_result=add,
        relu=relu,
    )


def matmul_partial(r: Random) -> MatMul:
    op = matmul(r)
    partial = r.number(1, 3)
    multiplier = r.number(1 << 30, (1 << 31) - 1) if partial == 1 else None
    return replace(
        op,
        partial=partial,
        partial_plane=op.result.rows * op.result.strides[0],
        multiplier=multiplier,
        shift=op.shift if partial == 1 else 0,
        wide=False,
        add_result=False,
        left_shift=0,
        relu=op.relu and partial == 1,
        bias=op.bias if partial == 1 else None,
    )


def min_pool(r: Random) -> Pool:
    return pool(r, PoolOp.MIN)


def conv_in_lanes(r: Random) -> Conv:
    """A convolution whose input starts in another lane than its result, with weights that
    start anywhere."""
    op = conv(r)
    lane = r.number(0, r.spec.lanes - 1)
    return replace(op, input=_in_lane(op.input, lane, r.spec), weight=WEIGHTS + r.number(0, 15))


def _in_lane(tensor: Local, lane: int, spec: ChipSpec) -> Local:
    """The tensor in default layout, starting in another lane."""
    strides = local_strides(tensor.shape, spec.lanes, lane=lane)
    return replace(tensor, address=tensor.address + lane * spec.lane_bytes, strides=strides)


def pool_in_lane(r: Random) -> Pool:
    op, lane = pool(r), r.number(1, r.spec.lanes - 1)
    source, result = (_in_lane(t, lane, r.spec) for t in (op.input, op.result))
    return replace(op, input=source, result=result)


def matmul_in_lane(r: Random) -> MatMul:
    op, lane = matmul(r), r.number(1, r.spec.lanes - 1)
    start = lane * r.spec.lane_bytes

    def moved(matrix: Matrix) -> Matrix:
        group = matrix.strides[1]
        row = group * ceil_div(lane + matrix.c, r.spec.lanes)
        return replace(matrix, address=matrix.address + start, strides=(row, group))

    assert isinstance(op.right, Matrix)
    bias = None if op.bias is None else op.bias + start
    return replace(
        op, result=moved(op.result), left=moved(op.left), right=moved(op.right), bias=bias
    )


def matmul_constant(r: Random) -> MatMul:
    op = matmul(r)
    signed = r.flag()
    low, high = (-128, 127) if signed else (0, 255)
    any_signed = signed or op.left.signed
    result = replace(op.result, signed=any_signed)
    return replace(op, right=Const(r.number(low, high), signed), result=result)


KINDS: dict[str, Callable[[Random], Instruction]] = {
    "conv": conv,
    "conv_partial": conv_partial,
    "depthwise": depthwise,
    "pool": pool,
    "mul": _arith(ArithOp.MUL, False, shift=10),
    "mul_qm": mul_qm,
    "mac": _arith(ArithOp.MAC, False, shift=15, left_shift=31),
    "add": _arith(ArithOp.ADD, True, shift=10),
    "add_8bit_result": add_8bit_result,
    "sub": _arith(ArithOp.SUB, True, shift=10),
    "max": _arith(ArithOp.MAX, False),
    "min": _arith(ArithOp.MIN, False),
    "lut": lut,
    "matmul": matmul,
    "matmul_partial": matmul_partial,
    "conv_in_lanes": conv_in_lanes,
    "pool_in_lane": pool_in_lane,
    "matmul_in_lane": matmul_in_lane,
}

LATER_KINDS: dict[str, Callable[[Random], Instruction]] = {
    "min_pool": min_pool,
    "ge": _arith(ArithOp.GE, False),
    "matmul_constant": matmul_constant,
}
"""What the CV182x, CV181x and CV180x have and the CV183x has not."""


def kinds(spec: ChipSpec) -> list[str]:
    """The kinds of instructions that the chip has."""
    return [*KINDS, *(LATER_KINDS if "ge" in spec.features else ())]


def legal(kind: str, spec: ChipSpec, seed: int, count: int) -> Iterator[Instruction]:
    """`count` instructions of a kind that the chip can execute."""
    r, found, tries = Random(seed, spec), 0, 0
    make = {**KINDS, **LATER_KINDS}[kind]
    while found < count:
        tries += 1
        assert tries < 100 * count, f"hardly any {kind} is legal"
        instruction = make(r)
        try:
            check(instruction, spec)
        except InstructionError:
            continue
        found += 1
        yield instruction


def memory_with_records(seed: int, spec: ChipSpec) -> Bytes:
    """Random local memory, with packed records of both sizes whose results are neither all
    zero nor all saturated."""
    memory = random_memory(seed, spec)
    records = memory.reshape(spec.lanes, -1)[:, RECORDS : RECORDS + 6 * RECORD]
    records &= 0x07  # every byte may be a shift, or the high byte of a multiplier
    return memory
