"""Running program files: memory, tensors, routines and refusals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cpu_files import SHAPE, cpu_routine, file_of, program_of, tensor

from cvi.errors import CviError, InputError, ModelError, UnsupportedError
from cvi_chip_cv183x.spec import CV183X
from cvi_tpu.model import (
    CviModelFile,
    Element,
    Program,
    Routine,
    TpuRoutine,
    Weight,
    gmem,
    write,
)
from cvi_tpu.runtime import Runtime
from cvi_tpu.runtime.runner import run_file

COPY = cpu_routine("cumsum", {"axis": 0})
"""A running sum over an axis of size 1: a copy."""

X = np.arange(24, dtype=np.float32).reshape(SHAPE)


def _run(program: Program, **options: bool) -> dict[str, np.ndarray]:  # type: ignore[type-arg]
    return Runtime(file_of(program), spec=CV183X).run({"x": X}, **options)


def test_values_go_through() -> None:
    np.testing.assert_array_equal(_run(program_of(COPY))["y"], X)


def test_results_do_not_change_with_the_next_run() -> None:
    runtime = Runtime(file_of(program_of(COPY)), spec=CV183X)
    first = runtime.run({"x": X})["y"]
    runtime.run({"x": X + 1})
    np.testing.assert_array_equal(first, X)


def test_tensors_without_address_live_on_the_heap() -> None:
    steps = (
        cpu_routine("cumsum", {"axis": 0}, "x", "h"),
        cpu_routine("cumsum", {"axis": 0}, "h", "y"),
    )
    np.testing.assert_array_equal(_run(program_of(*steps, extra=(tensor("h", -1),)))["y"], X)


def test_tensors_may_share_memory() -> None:
    """ "later" aliases the second half of "early"."""
    early, later = tensor("early", 0), replace(tensor("later", 48), shape=(1, 1, 3, 4))
    step = cpu_routine("cumsum", {"axis": 0}, "x", "early")
    got = _run(program_of(step, COPY, extra=(early, later)), all_tensors=True)
    np.testing.assert_array_equal(got["later"].ravel(), X.ravel()[12:])


def test_all_tensors_leaves_out_what_is_overwritten() -> None:
    extra = (tensor("b", 0), replace(tensor("a", 128), overwrote=True))
    assert list(_run(program_of(COPY, extra=extra), all_tensors=True)) == ["b", "x", "y"]


def test_programs_are_chosen_by_index() -> None:
    second = program_of(cpu_routine("softmax", {"axis": 3}))
    runtime = Runtime(file_of(program_of(COPY), second), spec=CV183X)
    np.testing.assert_array_equal(runtime.run({"x": X}, program=0)["y"], X)
    sums = runtime.run({"x": X}, program=1)["y"].sum(axis=3)
    np.testing.assert_allclose(sums, 1, rtol=1e-6)
    for index in (2, -1):
        with pytest.raises(InputError, match="the file has 2"):
            runtime.run({"x": X}, program=index)


def test_a_cpu_function_reads_weights() -> None:
    weight = Weight(name="w", offset=gmem(1, 16), size=96, shape=SHAPE, element=Element.FP32)
    program = program_of(cpu_routine("cumsum", {"axis": 0}, "w", "y"))
    model = replace(file_of(program, weights=bytes(16) + X.tobytes()), weight_map=(weight,))
    got = Runtime(model, spec=CV183X).run({"x": X * 0})["y"]
    np.testing.assert_array_equal(got, X)


def test_old_files_have_one_block_for_two_regions() -> None:
    steps = (
        cpu_routine("cumsum", {"axis": 0}, "x", "a"),
        cpu_routine("cumsum", {"axis": 0}, "b", "y"),
    )
    extra = (tensor("a", gmem(0, 64)), tensor("b", gmem(2, 64)))
    program = replace(program_of(*steps, extra=extra, shared=0), neuron_size=4096)
    np.testing.assert_array_equal(_run(program)["y"], X)


# -- refusals -------------------------------------------------------------------


def _refused(program: Program, error: type[CviError], message: str) -> None:
    with pytest.raises(error, match=message):
        _run(program)


def test_tensors_must_lie_in_their_region() -> None:
    _refused(program_of(COPY, extra=(tensor("t", 4001),)), ModelError, "region 0")
    _refused(program_of(COPY, extra=(tensor("t", gmem(2, 0)),)), ModelError, "region 2")
    _refused(program_of(COPY, extra=(tensor("t", gmem(1, 0)),)), ModelError, "weight region")


def test_the_first_tensor_of_an_io_region_starts_it() -> None:
    _refused(program_of(COPY, extra=(tensor("t", gmem(5, 16)),)), ModelError, "address 0")


def test_shapes_have_four_positive_sizes() -> None:
    for shape in ((1, 2, 3), (1, 2, 0, 4), (1, -2, 3, 4)):
        bad = replace(tensor("t", 0), shape=shape)
        _refused(program_of(COPY, extra=(bad,)), ModelError, "four positive")


def test_huge_memory_is_refused_before_it_is_taken() -> None:
    huge = replace(tensor("t", gmem(5, 0)), shape=(1 << 20, 1 << 20, 1, 1))
    _refused(program_of(COPY, extra=(huge,)), ModelError, "bytes of memory")
    heap = replace(tensor("t", -1), shape=(1 << 20, 1 << 20, 1, 1))
    with pytest.raises(ModelError, match="too big"):
        _run(program_of(COPY, extra=(heap,)), all_tensors=True)


def test_unknown_functions_are_named() -> None:
    _refused(program_of(cpu_routine("softmx", {})), UnsupportedError, "did you mean softmax")


def test_unknown_tensors_are_named() -> None:
    step = cpu_routine("cumsum", {"axis": 0}, "nowhere", "y")
    _refused(program_of(step), ModelError, "neither tensor nor weight")
    _refused(replace(program_of(COPY), outputs=("gone",)), ModelError, "does not declare")


def test_missing_sections_are_named() -> None:
    routine = Routine(inputs=(), outputs=(), tpu=TpuRoutine(cmdbuf="gone"))
    _refused(program_of(routine), ModelError, "does not have")


def test_arguments_must_have_their_type() -> None:
    _refused(program_of(cpu_routine("softmax", {"axis": 1.0})), ModelError, "'axis' as int")
    _refused(program_of(cpu_routine("softmax", {})), ModelError, "the file has nothing")
    _refused(program_of(cpu_routine("softmax", {"axis": 7})), ModelError, "'axis' is 7")


def test_functions_must_fit_their_output() -> None:
    wide = replace(tensor("y", gmem(4, 0)), element=Element.INT8)
    program = program_of(cpu_routine("cumsum", {"axis": 0}))
    bad = replace(program, tensors=(program.tensors[0], wide))
    _refused(bad, ModelError, "gives fp32")


@pytest.mark.parametrize("version", [(1, 5, 0), (1, 9, 0)])
def test_newer_files_are_refused(version: tuple[int, int, int]) -> None:
    model = replace(file_of(program_of(COPY)), version=version)
    with pytest.raises(ModelError, match=r"up to 1\.4"):
        Runtime(model, spec=CV183X)


def test_inputs_must_be_the_programs() -> None:
    runtime = Runtime(file_of(program_of(COPY)), spec=CV183X)
    for bad in ({}, {"z": X}, {"x": X, "z": X}):
        with pytest.raises(InputError, match="the program reads x"):
            runtime.run(bad)
    with pytest.raises(InputError, match="96 are needed"):
        runtime.run({"x": X[:, :1]})


def _bad_commands() -> CviModelFile:
    routine = Routine(inputs=(), outputs=(), tpu=TpuRoutine(cmdbuf="weight"))
    return file_of(program_of(routine), weights=b"\xa5\x70\x00\x00" + bytes(60))


def test_broken_commands_are_an_error() -> None:
    with pytest.raises(CviError, match="command"):
        Runtime(_bad_commands(), spec=CV183X).run({"x": X})


def test_errors_of_the_runner_name_the_file(tmp_path: Path) -> None:
    path = tmp_path / "m.cvimodel"
    path.write_bytes(write(_bad_commands()))
    with pytest.raises(CviError) as caught:
        run_file(path, {"x": X})
    assert "m.cvimodel" in caught.value.where
