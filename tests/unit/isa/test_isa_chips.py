"""What the chips of the family have in common, and where they differ."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chips import BY_NAME, CHIPS, LATER, each_chip
from cvi import plugins
from cvi.errors import CviError
from cvi_tpu.chip import ChipSpec
from cvi_tpu.isa.codec import decode, encode, layout_of
from cvi_tpu.isa.instructions import Arith, ArithOp, Copy, Engine, Instruction, Pool, PoolOp, Window
from cvi_tpu.isa.operands import Local, local_strides

SHAPE = (2, 1, 4, 4)
A = Local(0, SHAPE, local_strides(SHAPE, 32))
COPY = Arith(op=ArithOp.COPY, result=replace(A, signed=False), left=replace(A, signed=False))
MOVE = Copy(source=A, target=replace(A, address=1024))
MIN = Pool(op=PoolOp.MIN, result=A, input=A, window=Window(kernel=(1, 1), fill=127))


def with_fields(instruction: Instruction, engine: Engine, spec: ChipSpec, **fields: int) -> bytes:
    """The descriptor of an instruction with some fields set besides."""
    layout = layout_of(engine, spec)
    return layout.pack({**layout.unpack(encode(instruction, spec, id=1)), **fields})


@each_chip
def test_every_chip_is_registered_with_its_numbers(spec: ChipSpec) -> None:
    chip = plugins.chip(spec.name)
    assert getattr(chip, "spec", None) is spec
    assert str(spec.lanes) in spec.summary


def test_the_numbers_that_tell_the_chips_apart() -> None:
    """FACTS_TPU 1."""
    assert [spec.lanes for spec in CHIPS] == [32, 8, 8, 2]
    assert [spec.cmdbuf_magic for spec in CHIPS] == [0xA5, 0xA6, 0xA7, 0xA8]
    assert [spec.dram_start >> 32 for spec in CHIPS] == [1, 0, 0, 0]
    assert [spec.has_cpu_functions for spec in CHIPS] == [True, True, True, False]
    assert [spec.has_lz4 for spec in CHIPS] == [True, True, False, False]


def test_the_later_chips_share_one_layout() -> None:
    assert len({id(spec.tiu) for spec in LATER}) == 1
    assert len({id(spec.tdma) for spec in CHIPS}) == 1


@pytest.mark.parametrize("spec", LATER, ids=lambda spec: spec.name)
@pytest.mark.parametrize("field", ["cmd_pre_exe", "cmd_pre_exe_typ"])
def test_an_early_start_is_refused(spec: ChipSpec, field: str) -> None:
    descriptor = with_fields(COPY, Engine.TIU, spec, **{field: 1})
    with pytest.raises(CviError, match=f"sets {field}, whose meaning is unknown"):
        decode(Engine.TIU, descriptor, spec)


@each_chip
def test_parallel_transfers_are_refused(spec: ChipSpec) -> None:
    descriptor = with_fields(MOVE, Engine.TDMA, spec, intra_cmd_paral=1)
    with pytest.raises(CviError, match="sets intra_cmd_paral"):
        decode(Engine.TDMA, descriptor, spec)


@each_chip
def test_the_sign_of_a_copy_says_nothing(spec: ChipSpec) -> None:
    descriptor = with_fields(COPY, Engine.TIU, spec, opt_res0_sign=1, opt_opd0_sign=1)
    assert decode(Engine.TIU, descriptor, spec).instruction == COPY


@each_chip
def test_minimum_pooling_is_of_the_later_chips(spec: ChipSpec) -> None:
    if spec in LATER:
        assert decode(Engine.TIU, encode(MIN, spec), spec).instruction == MIN
        return
    with pytest.raises(CviError, match="no MIN on cv183x"):
        encode(MIN, spec)


@pytest.mark.parametrize(("chip", "most"), [("cv183x", 15), ("cv182x", 31), ("cv180x", 31)])
def test_the_longest_stride(chip: str, most: int) -> None:
    spec = BY_NAME[chip]
    source = Local(0, (1, 1, 1, 40), local_strides((1, 1, 1, 40), spec.lanes))
    for stride in (most, most + 1):
        width = 39 // stride + 1
        shape = (1, 1, 1, width)
        result = Local(1024, shape, local_strides(shape, spec.lanes))
        window = Window(kernel=(1, 1), stride=(1, stride), fill=-128)
        pool = Pool(op=PoolOp.MAX, result=result, input=source, window=window)
        if stride <= most:
            assert decode(Engine.TIU, encode(pool, spec), spec).instruction == pool
        else:
            with pytest.raises(CviError, match=f"must be 1 to {most}"):
                encode(pool, spec)


@pytest.mark.parametrize(
    ("channels", "lane", "groups"), [(8, 0, 1), (8, 1, 2), (9, 7, 2), (10, 7, 3), (1, 7, 1)]
)
def test_a_batch_covers_all_groups_of_the_busiest_lane(
    channels: int, lane: int, groups: int
) -> None:
    """Measured on the vendor's simulator: the start lane counts."""
    n, c, _, _ = local_strides((2, channels, 4, 4), 8, lane=lane)
    assert n == groups * c
