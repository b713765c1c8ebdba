"""The vendor's runtime as a runner: what it computes, and that its deaths are errors."""

from __future__ import annotations

import struct
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from local_programs import (
    LANES,
    local_program,
    random_memory,
    save,
    single_routine_file,
)

from cvi.errors import InputError, RunnerError
from cvi_chip_cv183x.spec import CV183X
from cvi_runner_vendor.runner import VendorRunner
from cvi_runner_vendor.session import Session
from cvi_tpu.isa.codec import Command
from cvi_tpu.isa.instructions import Arith, ArithOp, Const, Copy
from cvi_tpu.isa.operands import Dram, Local, Shape4, dense, local_strides
from cvi_tpu.isa.program import Program
from cvi_tpu.isa.stream import cmdbuf
from cvi_tpu.model import CviModelFile, Element, QuantInfo, read, read_file, write
from cvi_tpu.runtime import Runtime
from vendor_here import needs_vendor

pytestmark = [pytest.mark.vendor, needs_vendor]

SMALL: Shape4 = (1, 3, 4, 4)


def _max_commands() -> list[Command]:
    """Load, take the maximum with -5, store: the shortest program (FACTS_CVIMODEL 10)."""
    tensor = Local(0, SMALL, local_strides(SMALL, LANES))
    result = replace(tensor, address=256)
    program = Program(CV183X)
    program.emit(Copy(source=Dram(3, 0, SMALL, dense(SMALL)), target=tensor))
    program.emit(Arith(op=ArithOp.MAX, result=result, left=tensor, right=Const(-5)))
    program.emit(Copy(source=result, target=Dram(4, 0, SMALL, dense(SMALL))))
    return program.commands()


def _max_file() -> CviModelFile:
    return read(single_routine_file(cmdbuf(_max_commands(), CV183X), SMALL, SMALL))


def _input(seed: int = 0) -> np.ndarray:  # type: ignore[type-arg]
    return np.random.default_rng(seed).integers(-128, 128, SMALL).astype(np.int8)


def test_the_shortest_file(tmp_path: Path) -> None:
    x = _input()
    got = VendorRunner().run(save(tmp_path, write(_max_file())), {"in": x}, timeout=30)
    np.testing.assert_array_equal(got["out"], np.maximum(x, -5))
    ours = Runtime(_max_file(), spec=CV183X).run({"in": x})
    np.testing.assert_array_equal(ours["out"], got["out"])


def test_a_session_runs_again_and_again(tmp_path: Path) -> None:
    with Session(save(tmp_path, write(_max_file())), timeout=30) as session:
        assert [t.name for t in session.inputs] == ["in"]
        assert session.outputs[0].format == "int8"
        for seed in range(3):
            x = _input(seed)
            np.testing.assert_array_equal(session.run({"in": x})["out"], np.maximum(x, -5))


@pytest.mark.parametrize(
    "name", ["cls_keypoint_hand_gesture_1_42_INT8", "keypoint_face_v2_64_64_INT8"]
)
def test_real_files_that_we_wrote_again(shared: Path, tmp_path: Path, name: str) -> None:
    real = shared / "models" / "cvimodel_cv181x" / f"{name}_cv181x.cvimodel"
    again = save(tmp_path, write(read_file(real)))
    with Session(real, all_tensors=True, timeout=60) as first:
        shape = first.inputs[0].shape
        feed = {first.inputs[0].name: np.random.default_rng(1).integers(0, 127, shape, np.int8)}
        want = first.run(feed)
    with Session(again, all_tensors=True, timeout=60) as second:
        got = second.run(feed)
    assert got.keys() == want.keys()
    assert len(want) > 3
    for key, value in want.items():
        np.testing.assert_array_equal(got[key], value)


def test_floats_are_quantised_alike(tmp_path: Path) -> None:
    model = _max_file()
    program = model.programs[0]
    tensors = tuple(replace(t, quant=QuantInfo(qscale=40.0)) for t in program.tensors)
    model = replace(model, programs=(replace(program, tensors=tensors),))
    x = np.linspace(-5, 5, 48, dtype=np.float32).reshape(SMALL)
    x[0, 0, 0] = [0.5 / 40, -0.5 / 40, 2.5 / 40, -2.5 / 40]
    x[0, 0, 1] = [np.inf, -np.inf, np.nan, 0]
    got = VendorRunner().run(save(tmp_path, write(model)), {"in": x}, timeout=30)["out"]
    np.testing.assert_array_equal(got[0, 0, 0], [1, -1, 3, -3])
    np.testing.assert_array_equal(got[0, 0, 1, :2], [127, -5])
    np.testing.assert_array_equal(Runtime(model, spec=CV183X).run({"in": x})["out"], got)


# -- deaths -------------------------------------------------------------------


def test_an_illegal_instruction_is_an_error_with_the_log(tmp_path: Path) -> None:
    data = bytearray(write(_max_file()))
    at = data.index(bytes([CV183X.cmdbuf_magic, 112]))
    data[at + 8] &= 0xFE  # the command is switched off, which the simulator asserts
    with pytest.raises(RunnerError) as caught:
        VendorRunner().run(save(tmp_path, bytes(data)), {"in": _input()}, timeout=30)
    assert "died with SIG" in str(caught.value)
    assert "\n  | " in str(caught.value)
    assert "m.cvimodel" in caught.value.where


def test_an_endless_wait_ends_at_the_time_out(tmp_path: Path) -> None:
    commands = _max_commands()
    commands[1] = replace(commands[1], wait=9)
    bad = save(tmp_path, single_routine_file(cmdbuf(commands, CV183X), SMALL, SMALL))
    start = time.monotonic()
    with pytest.raises(RunnerError, match="no result in 2 s"):
        VendorRunner().run(bad, {"in": _input()}, timeout=2)
    assert time.monotonic() - start < 20


@pytest.mark.parametrize("keep", [0, 20, 60, 400])
def test_cut_files_are_errors(tmp_path: Path, keep: int) -> None:
    with pytest.raises(RunnerError):
        VendorRunner().run(save(tmp_path, write(_max_file())[:keep]), {"in": _input()}, timeout=30)


def test_a_program_index_out_of_range_is_an_error(tmp_path: Path) -> None:
    path = save(tmp_path, write(_max_file()))
    with pytest.raises(RunnerError):
        VendorRunner().run(path, {"in": _input()}, program=3, timeout=30)


def test_a_killed_child_is_an_error(tmp_path: Path) -> None:
    with Session(save(tmp_path, write(_max_file())), timeout=30) as session:
        session._child.kill()
        session._child.wait()
        with pytest.raises(RunnerError, match="SIGKILL"):
            session.run({"in": _input()})


# -- wrong use ----------------------------------------------------------------


def test_wrong_inputs_name_what_is_needed(tmp_path: Path) -> None:
    with Session(save(tmp_path, write(_max_file())), timeout=30) as session:
        with pytest.raises(InputError, match="reads in; given: x"):
            session.run({"x": _input()})
        with pytest.raises(InputError, match="48 are needed"):
            session.run({"in": _input()[:, :2]})
        with pytest.raises(InputError, match="number type"):
            session.run({"in": np.array(["a"])})


def test_absent_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        Session(tmp_path / "absent.cvimodel")


def test_absent_libraries_tell_how_to_get_them(tmp_path: Path) -> None:
    path = save(tmp_path, write(_max_file()))
    with pytest.raises(RunnerError, match="cvi vendor install"):
        Session(path, library=tmp_path)


def test_bf16_comes_back_as_patterns(tmp_path: Path) -> None:
    """A copy of bytes between tensors that the file calls BF16."""
    model = read(local_program([]))
    program = model.programs[0]
    shape = (1, 32, 1, 16384)
    tensors = tuple(replace(t, element=Element.BF16, shape=shape) for t in program.tensors)
    model = replace(model, programs=(replace(program, tensors=tensors),))
    patterns = random_memory(3).view(np.uint16).reshape(shape)
    path = save(tmp_path, write(model))
    got = VendorRunner().run(path, {"in": patterns}, timeout=30)["out"]
    assert got.dtype == np.uint16
    np.testing.assert_array_equal(got, patterns)
    np.testing.assert_array_equal(
        Runtime(model, spec=CV183X).run({"in": patterns})["out"], patterns
    )


def test_the_header_size_is_what_the_runtime_reads() -> None:
    data = write(_max_file())
    size = struct.unpack_from("<I", data, 8)[0]
    assert data[48 + size :].startswith(bytes([CV183X.cmdbuf_magic]))
