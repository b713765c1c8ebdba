"""Command buffers: bytes and back, and what happens to broken ones."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cvi.errors import CviError, UnsupportedError
from cvi_chip_cv183x.spec import CV183X
from cvi_tpu.isa.codec import Command
from cvi_tpu.isa.disasm import disassemble, line
from cvi_tpu.isa.instructions import (
    Arith,
    ArithOp,
    Const,
    Conv,
    Copy,
    Engine,
    Instruction,
    LinearCopy,
    MatMul,
    MatrixCopy,
    Quant,
    Window,
)
from cvi_tpu.isa.operands import Dram, Local, Matrix, dense, dram_matrix, local_strides
from cvi_tpu.isa.program import Program
from cvi_tpu.isa.stream import cmdbuf, parse_cmdbuf
from isa_strategies import instructions

SHAPE = (1, 8, 2, 4)
NEAR = Local(0x8040, SHAPE, local_strides(SHAPE, 32), False)
FAR = Dram(3, 0x40, SHAPE, dense(SHAPE), False)


def small_program() -> list[Command]:
    built = Program(CV183X)
    built.emit(Copy(source=FAR, target=NEAR, layer=1))
    built.emit(Arith(op=ArithOp.COPY, result=replace(NEAR, address=0x8000), left=NEAR, layer=2))
    built.emit(Copy(source=NEAR, target=replace(FAR, region=4), layer=3))
    return built.commands()


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(made=st.lists(instructions(CV183X), max_size=20))
def test_a_program_survives_its_bytes(made: list[Instruction]) -> None:
    built = Program(CV183X)
    for instruction in made:
        built.emit(instruction)
    data = cmdbuf(built.commands(), CV183X)
    assert parse_cmdbuf(data, CV183X) == built.commands()
    assert len(list(disassemble(built.commands(), CV183X))) == len(made)


def test_headers() -> None:
    data = cmdbuf(small_program(), CV183X)
    assert len(data) == 2 * (8 + 64) + 8 + 112
    assert data[:8] == bytes([0xA5, 64, 2, 0, 0, 0, 0, 0])
    assert data[72:80] == bytes([0xA5, 112, 0, 0, 0, 0, 0, 0])


def test_the_length_may_be_in_the_mask() -> None:
    data = bytearray(cmdbuf(small_program(), CV183X))
    data[1], data[4:8] = 0, struct.pack("<I", 64)
    assert parse_cmdbuf(bytes(data), CV183X) == small_program()


def test_an_empty_buffer_has_no_commands() -> None:
    assert parse_cmdbuf(b"", CV183X) == []


@pytest.mark.parametrize(
    ("place", "value", "problem"),
    [
        (0, 0xA6, "starts with 0xa6"),
        (1, 112, "112 bytes, which no TDMA"),
        (1, 0, "0 bytes"),
        (2, 1, "engine 1"),
        (2, 9, "engine 9"),
        (72 + 8, 0, "switched off"),
    ],
)
def test_a_broken_command_is_refused(place: int, value: int, problem: str) -> None:
    data = bytearray(cmdbuf(small_program(), CV183X))
    data[place] = value
    with pytest.raises(CviError, match=problem):
        parse_cmdbuf(bytes(data), CV183X)


def test_a_cut_buffer_is_refused() -> None:
    data = cmdbuf(small_program(), CV183X)
    whole = {0, 72, 72 + 120, len(data)}
    for size in set(range(len(data))) - whole:
        with pytest.raises(CviError):
            parse_cmdbuf(data[:size], CV183X)


def test_a_wait_that_is_never_met_is_refused() -> None:
    first, second, third = small_program()
    for broken in (replace(second, wait=9), replace(first, wait=1)):
        commands = [
            broken if c.engine is broken.engine and c.id == broken.id else c
            for c in (first, second, third)
        ]
        with pytest.raises(CviError, match="waits forever"):
            parse_cmdbuf(cmdbuf(commands, CV183X), CV183X)


@pytest.mark.parametrize("id", [0, 2, 7, 0xFFFF])
def test_numbers_must_count_up(id: int) -> None:
    first, *rest = small_program()
    with pytest.raises(CviError, match="numbered"):
        parse_cmdbuf(cmdbuf([replace(first, id=id), *rest], CV183X), CV183X)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_hostile_bytes_are_one_error(data: st.DataObject) -> None:
    buffer = bytearray(cmdbuf(small_program(), CV183X))
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, len(buffer) - 1))
        buffer[place] = data.draw(st.integers(0, 255))
    try:
        commands = parse_cmdbuf(bytes(buffer), CV183X)
    except CviError:
        return
    assert len(commands) == 3


def test_too_long_a_program_is_refused() -> None:
    spec = replace(CV183X, stream_bytes=(112, 64))
    with pytest.raises(UnsupportedError, match=r"128 bytes of TDMA commands, cv183x takes 64"):
        cmdbuf(small_program(), spec)


# -- the disassembler --------------------------------------------------------


def shown(instruction: Instruction, wait: int = 0) -> str:
    engine = Engine.TDMA if isinstance(instruction, (Copy, MatrixCopy, LinearCopy)) else Engine.TIU
    return line(Command(engine, 12, wait, instruction), CV183X)


def test_lines_of_a_copy() -> None:
    assert shown(Copy(source=FAR, target=NEAR, layer=7), wait=3) == (
        "TDMA    12  wait 3     copy     u8[1,8,2,4]@L1+0x40/16,16,4,1 "
        "<- u8[1,8,2,4]@dram3+0x40/64,8,4 layer=7"
    )


def test_lines_of_wide_arithmetic() -> None:
    wide = Local(0, SHAPE, (16, 16, 4, 1), plane=0x20)
    mac = Arith(
        op=ArithOp.MAC, result=wide, left=NEAR, right=Const(-3), shift=4, relu=True, narrow=True
    )
    assert shown(mac) == (
        "TIU     12             mac      i16[1,8,2,4]@L0+0x0/16,16,4,1 high+0x20 "
        "<- u8[1,8,2,4]@L1+0x40/16,16,4,1, #-3 shift=4 relu narrow"
    )


def test_lines_of_a_convolution() -> None:
    conv = Conv(
        result=NEAR,
        input=NEAR,
        weight=0x8100,
        window=Window(kernel=(3, 5), stride=(2, 1), pads=(1, 2, 1, 2), fill=9),
        quant=Quant(per_channel=True, bias=True, records=0x8200, relu=True),
        weight_signed=False,
    )
    assert shown(conv).endswith(
        " weight=L1+0x100 kernel=3x5 stride=2x1 pads=1,2,1,2 fill=9 per_channel bias "
        "records=L1+0x200 relu no_weight_signed"
    )


def test_lines_of_matrices() -> None:
    near = Matrix(0, 4, 30, 2, 16, (16, 16), bf16=True)
    far = dram_matrix(1, 0x80, 4, 30, bf16=True)
    assert shown(MatrixCopy(source=far, target=near)) == (
        "TDMA    12             matcopy  bf16[4x30 in 2x16]@L0+0x0/16,16 "
        "<- bf16[1,4,1,30]@dram1+0x80/240,60,60"
    )
    product = MatMul(result=near, left=near, right=near, bias=0x100)
    assert shown(product).endswith(" bias=L0+0x100")


def test_lines_of_linear_copies() -> None:
    shape = (1, 1, 1, 9)
    copy = LinearCopy(source=Dram(1, 2, shape, dense(shape)), target=0x8003, size=9)
    assert shown(copy).endswith("linear   L1+0x3 <- i8[1,1,1,9]@dram1+0x2/9,9,9 size=9")
