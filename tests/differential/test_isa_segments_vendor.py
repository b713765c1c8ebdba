"""Programs of more than 65535 commands run on the vendor's simulator."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cvi_chip_cv183x.spec import CV183X
from cvi_tpu.isa.codec import MAX_ID
from cvi_tpu.isa.instructions import Arith, ArithOp, Copy, Engine, Instruction
from cvi_tpu.isa.operands import Dram, Local, dense
from cvi_tpu.isa.program import Program
from cvi_tpu.isa.stream import cmdbuf
from vendor_here import needs_vendor

SHAPE = (1, 1, 1, 64)
pytestmark = [pytest.mark.vendor, needs_vendor]


def near(offset: int) -> Local:
    return Local(offset, SHAPE, (64, 64, 64, 1), signed=False)


def far(region: int) -> Dram:
    return Dram(region, 0, SHAPE, dense(SHAPE), False)


def compute(target: int, source: int) -> Arith:
    return Arith(op=ArithOp.COPY, result=near(target), left=near(source))


def write_model(path: Path, program: Program) -> None:
    from cvi_tpu.model import file, schema

    def tensor(name: str, region: int) -> schema.Tensor:
        return schema.Tensor(
            name=name,
            offset=schema.gmem(region, 0),
            element=schema.Element.INT8,
            shape=SHAPE,
            quant=schema.QuantInfo(qscale=1.0),
        )

    routine = schema.Routine(
        kind=schema.RoutineKind.TPU,
        inputs=("x",),
        outputs=("y",),
        tpu=schema.TpuRoutine(cmdbuf="commands"),
    )
    entry = schema.Program(
        batch=1,
        inputs=("x",),
        outputs=("y",),
        tensors=(tensor("x", 3), tensor("y", 4)),
        routines=(routine,),
        shared_gmem=4096,
    )
    section = schema.Section(
        kind=schema.SectionKind.CMDBUF, name="commands", data=cmdbuf(program.commands(), CV183X)
    )
    model = schema.CviModelFile(
        chip="cv183x", name="t", build_time="0", programs=(entry,), sections=(section,)
    )
    path.write_bytes(file.write(model))


@pytest.mark.parametrize("count", [3, pytest.param(MAX_ID + 20, marks=pytest.mark.slow)])
@pytest.mark.parametrize("busy", [Engine.TIU, Engine.TDMA, None], ids=["TIU", "TDMA", "both"])
def test_long_programs_end_and_are_right(tmp_path: Path, busy: Engine | None, count: int) -> None:
    from cvi_runner_vendor.runner import VendorRunner

    program = Program(CV183X)
    program.emit(Copy(source=far(3), target=near(0x100)))
    work: list[Instruction] = [compute(0x200, 0x100), Copy(source=near(0x200), target=near(0x300))]
    if busy is not None:
        work = [work[0] if busy is Engine.TIU else work[1]]
    for _ in range(count):
        for instruction in work:
            program.emit(instruction)
    program.emit(compute(0x400, 0x100))
    program.emit(Copy(source=near(0x400), target=far(4)))
    path = tmp_path / "long.cvimodel"
    write_model(path, program)
    values = np.arange(64, dtype=np.int8).reshape(SHAPE)
    output = VendorRunner().run(path, {"x": values}, timeout=60)
    np.testing.assert_array_equal(output["y"], values)
