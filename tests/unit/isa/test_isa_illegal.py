"""Instructions that the chip cannot execute are refused, with the reason."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cvi.errors import CviError
from cvi_chip_cv183x.spec import CV183X
from cvi_tpu.isa.codec import encode
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
from cvi_tpu.isa.operands import Dram, Local, Matrix, dense, dram_matrix, local_strides

SHAPE = (1, 8, 4, 4)
A = Local(0, SHAPE, local_strides(SHAPE, 32))
U = replace(A, signed=False)
W = replace(A, plane=0x100)
B = Local(0x1000, SHAPE, local_strides(SHAPE, 32, element_bytes=2), bf16=True)
FAR = Dram(3, 0, SHAPE, dense(SHAPE))
ONE = Window(kernel=(1, 1))
CONV = Conv(result=A, input=A, weight=0x2000, window=ONE)
POOL = Pool(op=PoolOp.MAX, result=A, input=A, window=ONE)
MUL = Arith(op=ArithOp.MUL, result=A, left=A, right=A)
M = Matrix(0, 4, 32, 2, 16, (16, 16))
RIGHT = Matrix(0x100, 32, 32, 2, 16, (16, 16))
PRODUCT = MatMul(result=M, left=M, right=RIGHT)

ILLEGAL: dict[str, tuple[Instruction, str]] = {
    "lane end": (replace(MUL, left=replace(A, address=32760)), "ends at byte"),
    "outside": (replace(MUL, left=replace(A, address=32 * 32768)), "outside of local memory"),
    "lanes differ": (replace(MUL, right=replace(A, address=0x8000)), "same lane"),
    "shapes differ": (replace(MUL, right=replace(A, shape=(1, 8, 4, 3))), "the result"),
    "mixed formats": (replace(MUL, right=B), "mix BF16"),
    "unsigned result": (replace(MUL, result=U), "must be signed"),
    "signed result": (replace(MUL, left=U, right=U), "must be unsigned"),
    "unsigned relu": (replace(MUL, result=U, left=U, right=U, relu=True), "relu needs"),
    "wide relu": (replace(MUL, result=W, relu=True), "16-bit"),
    "constant": (replace(MUL, right=Const(128)), "it must be -128 to 127"),
    "shift": (replace(MUL, shift=32), "0 to 31"),
    "mac shift": (replace(MUL, op=ArithOp.MAC, result=W, shift=16), "0 to 15"),
    "mac result": (replace(MUL, op=ArithOp.MAC), "must have 16"),
    "narrow add": (Arith(op=ArithOp.ADD, result=A, left=A, right=W), "must have 16"),
    "rounding shift": (Arith(op=ArithOp.SHIFT, result=W, left=W, right=A), "rounding"),
    "bf16 shift": (Arith(op=ArithOp.MUL, result=B, left=B, right=B, shift=1), "not shift"),
    "bf16 logic": (Arith(op=ArithOp.AND, result=B, left=B, right=B), "BF16"),
    "missing operand": (replace(MUL, right=None), "operands"),
    "no ge": (replace(MUL, op=ArithOp.GE), "no such operation"),
    "big layer": (replace(MUL, layer=1 << 28), "field layer_info"),
    "channels": (replace(MUL, left=replace(A, shape=(1, 4096, 1, 1))), "up to 4095"),
    "lut strides": (Lut(result=A, input=replace(A, strides=(32, 32, 4, 1)), table=0), "aligned"),
    "lut table": (Lut(result=A, input=A, table=8), "multiple of 16"),
    "conv size": (replace(CONV, window=Window(kernel=(2, 2))), "window makes 3 x 3"),
    "conv depth": (replace(CONV, input=Local(0, (1, 4064, 1, 1), (2032, 16, 1, 1))), "than 4063"),
    "conv stride": (replace(CONV, window=Window(kernel=(1, 1), stride=(16, 1))), "1 to 15"),
    "conv pad": (replace(CONV, window=Window(kernel=(1, 1), pads=(16, 0, 0, 0))), "most is 15"),
    "conv fill": (replace(CONV, window=Window(kernel=(1, 1), fill=200)), "-128 to 127"),
    "depthwise weight": (
        Depthwise(result=A, input=A, weight=0x2008, window=ONE),
        "multiple of 16",
    ),
    "pool size": (replace(POOL, window=Window(kernel=(2, 2))), "window makes 3 x 3"),
    "pool lane": (replace(POOL, input=replace(A, address=0x8000)), "same lane"),
    "conv planes": (
        replace(CONV, result=replace(A, address=32768 - 32), partial=2, partial_plane=16),
        "ends at byte",
    ),
    "conv weight lane": (replace(CONV, weight=0xA000), "same lane"),
    "conv input": (replace(CONV, input=replace(A, strides=(32, 32, 4, 1))), "aligned layout"),
    "conv records": (replace(CONV, quant=Quant(records=16)), "without a bias"),
    "conv bf16 channel": (
        replace(CONV, input=B, result=B, quant=Quant(per_channel=True)),
        "not requantised per channel",
    ),
    "conv plane": (replace(CONV, partial=2, partial_plane=32), "16 apart"),
    "conv stored relu": (
        replace(CONV, partial=2, partial_plane=16, quant=Quant(relu=True)),
        "no bias, shift or relu",
    ),
    "depthwise sums": (
        Depthwise(result=A, input=A, weight=0, window=ONE, partial=2, partial_plane=16),
        "no such partial sums",
    ),
    "no min pool": (replace(POOL, op=PoolOp.MIN), "no MIN"),
    "max multiplies": (replace(POOL, multiplier=3), "does not multiply"),
    "max inserts": (
        replace(
            POOL,
            input=replace(A, shape=(1, 8, 2, 2), strides=(16, 16, 2, 1)),
            window=Window(kernel=(1, 1), insert=(1, 1), insert_last=(1, 1)),
        ),
        "only AVG inserts",
    ),
    "matrix depth": (replace(PRODUCT, right=replace(RIGHT, rows=31)), "differ"),
    "matrix cut": (replace(PRODUCT, result=replace(M, columns=20, c=3, w=8)), "cut differently"),
    "matrix strides": (replace(PRODUCT, left=replace(M, strides=(32, 16))), "aligned strides"),
    "matrix constant": (replace(PRODUCT, right=Const(1)), "no constant matrices"),
    "matrix relu": (replace(PRODUCT, wide=True, relu=True), "without relu"),
    "copy counts": (Copy(source=FAR, target=replace(A, shape=(1, 8, 4, 3))), "cannot be copied"),
    "copy signs": (Copy(source=FAR, target=U), "signed into unsigned"),
    "copy widens on store": (
        Copy(source=A, target=replace(FAR, bf16=True, strides=(256, 32, 8))),
        "loads and local copies",
    ),
    "copy plane": (Copy(source=FAR, target=W), "two planes"),
    "copy w stride": (Copy(source=FAR, target=replace(A, strides=(64, 64, 8, 2))), "whole rows"),
    "copy region": (Copy(source=replace(FAR, region=8), target=A), "region 8"),
    "copy address": (Copy(source=replace(FAR, address=1 << 40), target=A), "40-bit"),
    "copy h stride": (
        Copy(source=replace(FAR, strides=(0, 0, 70000)), target=A),
        "field src_h_stride",
    ),
    "hwc channels": (Copy(source=FAR, target=A, transpose=Transpose.HWC3), "3 channels"),
    "cw load": (
        Copy(source=replace(FAR, shape=(1, 4, 4, 8)), target=A, transpose=Transpose.CW),
        "stores only",
    ),
    "stream address": (
        Copy(source=replace(FAR, address=8), target=A, compressed=True),
        "multiple of 16",
    ),
    "stream holes": (
        Copy(source=replace(FAR, strides=(256, 32, 8)), target=A, compressed=True),
        "contiguous",
    ),
    "fill value": (Fill(target=A, value=256), "0 to 255"),
    "matrix sizes": (MatrixCopy(source=dram_matrix(0, 0, 4, 31), target=M), "cannot be copied"),
    "matrix local": (MatrixCopy(source=M, target=M), "between DRAM and local"),
    "linear size": (LinearCopy(source=FAR, target=0, size=127), "128 bytes, not 127"),
    "linear local": (LinearCopy(source=0, target=16, size=4), "one side in DRAM"),
}


@pytest.mark.parametrize("name", ILLEGAL)
def test_refused_with_the_reason(name: str) -> None:
    instruction, reason = ILLEGAL[name]
    with pytest.raises(CviError, match=reason) as caught:
        encode(instruction, CV183X)
    assert type(instruction).__name__ in caught.value.where


@pytest.mark.parametrize("instruction", [MUL, CONV, POOL, PRODUCT, Copy(source=FAR, target=A)])
def test_the_legal_neighbours_are_accepted(instruction: Instruction) -> None:
    assert encode(instruction, CV183X)
