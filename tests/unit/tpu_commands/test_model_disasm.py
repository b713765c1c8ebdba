"""`cvi model disasm`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cvi.errors import CviError, InputError, UnsupportedError
from cvi_chip_cv183x.spec import CV183X
from cvi_tpu.commands.listing import listing
from cvi_tpu.commands.model import app
from cvi_tpu.isa.instructions import Arith, ArithOp, Const, Fill
from cvi_tpu.isa.operands import Local
from cvi_tpu.isa.program import Program as Commands
from cvi_tpu.isa.stream import cmdbuf
from cvi_tpu.model import (
    CpuRoutine,
    CviModelFile,
    Program,
    Routine,
    RoutineKind,
    Section,
    SectionKind,
    TpuRoutine,
    write,
)


def _file() -> CviModelFile:
    tensor = Local(0, (1, 4, 1, 8), (16, 16, 8, 1))
    commands = Commands(CV183X)
    commands.emit(Fill(target=tensor, value=3))
    commands.emit(Arith(op=ArithOp.MAX, result=tensor, left=tensor, right=Const(5)))
    data = cmdbuf(commands.commands(), CV183X)
    tpu = Routine(inputs=(), outputs=(), tpu=TpuRoutine(cmdbuf="c"))
    cpu = Routine(kind=RoutineKind.CPU, inputs=(), outputs=(), cpu=CpuRoutine(function="softmax"))
    program = Program(inputs=(), outputs=(), tensors=(), routines=(tpu, cpu, tpu))
    section = Section(kind=SectionKind.CMDBUF, name="c", data=data)
    return CviModelFile(name="t", chip="cv183x", programs=(program,), sections=(section,))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    target = tmp_path / "m.cvimodel"
    target.write_bytes(write(_file()))
    return target


def test_all_tpu_routines(path: Path) -> None:
    lines = list(listing(path, 0, None))
    assert [line for line in lines if line.startswith("#")] == [
        "# routine 0: c",
        "# routine 2: c",
    ]
    assert len(lines) == 6
    assert lines[1].startswith("TDMA")
    assert "max" in lines[2]
    assert "wait 1" in lines[2]


def test_one_routine(path: Path) -> None:
    assert len(list(listing(path, 0, 2))) == 3


def test_what_is_not_there(path: Path) -> None:
    with pytest.raises(InputError, match="no program 3"):
        list(listing(path, 3, None))
    with pytest.raises(InputError, match="no routine 9"):
        list(listing(path, 0, 9))
    with pytest.raises(UnsupportedError, match="no command buffer"):
        list(listing(path, 0, 1))


def test_errors_name_the_file(path: Path) -> None:
    model = _file()
    broken = replace(model.sections[0], data=model.sections[0].data[:-1])
    path.write_bytes(write(replace(model, sections=(broken,))))
    with pytest.raises(CviError) as caught:
        list(listing(path, 0, None))
    assert "m.cvimodel" in caught.value.where


def test_command(path: Path) -> None:
    done = CliRunner().invoke(app, ["disasm", str(path), "--routine", "0"])
    assert done.exit_code == 0, done.output
    assert done.output.count("\n") == 3
