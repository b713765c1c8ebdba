"""CPU functions and the lists of tensors: our runtime against the vendor's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from local_programs import save

from cvi.ir.types import Array
from cvi_chip_cv183x.spec import CV183X
from cvi_runner_vendor.runner import VendorRunner
from cvi_tpu.model import (
    CpuRoutine,
    CviModelFile,
    Element,
    Program,
    QuantInfo,
    Routine,
    RoutineKind,
    Section,
    Tensor,
    encode_arguments,
    gmem,
    write,
)
from cvi_tpu.model.arguments import Value
from cvi_tpu.runtime import Runtime
from vendor_here import needs_vendor

pytestmark = [pytest.mark.vendor, needs_vendor]

Step = tuple[str, Mapping[str, Value], str, str]


def _cpu(function: str, arguments: Mapping[str, Value], source: str, target: str) -> Routine:
    return Routine(
        kind=RoutineKind.CPU,
        inputs=(source,),
        outputs=(target,),
        cpu=CpuRoutine(function=function, args=encode_arguments(arguments)),
    )


def _file(tensors: tuple[Tensor, ...], *steps: Step) -> CviModelFile:
    """A program of CPU functions from the first tensor to the last."""
    program = Program(
        batch=1,
        inputs=(tensors[0].name,),
        outputs=(tensors[-1].name,),
        tensors=tensors,
        routines=tuple(_cpu(*step) for step in steps),
        shared_gmem=1 << 16,
    )
    section = Section(name="weight", data=bytes(16))
    return CviModelFile(
        name="t", chip="cv183x", target="cv183x", programs=(program,), sections=(section,)
    )


def _both(
    folder: Path, model: CviModelFile, x: Array, *, all_tensors: bool = True
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Results of our runtime and of the vendor's."""
    feed = {model.programs[0].inputs[0]: x}
    ours = Runtime(model, spec=CV183X).run(feed, all_tensors=all_tensors)
    path = save(folder, write(model))
    return ours, VendorRunner().run(path, feed, all_tensors=all_tensors, timeout=30)


def _assert_equal(ours: Mapping[str, Array], theirs: Mapping[str, Array]) -> None:
    assert list(ours) == list(theirs)
    for name, value in theirs.items():
        assert ours[name].dtype == value.dtype
        np.testing.assert_array_equal(ours[name], value, err_msg=name)


@pytest.mark.parametrize("key", ["scale", "threshold"])
def test_quant_to_int8_and_back(tmp_path: Path, key: str) -> None:
    shape = (1, 4, 8, 8)
    tensors = (
        Tensor(name="x", offset=gmem(3, 0), shape=shape),
        Tensor(name="q", offset=0, element=Element.INT8, shape=shape, quant=QuantInfo(qscale=0.03)),
        Tensor(name="y", offset=gmem(4, 0), shape=shape),
    )
    model = _file(
        tensors,
        ("quant", {"from": "NONE", "to": "INT8", key: 31.7}, "x", "q"),
        ("quant", {"from": "INT8", "to": "NONE", key: 0.0317}, "q", "y"),
    )
    x = np.random.default_rng(0).normal(0, 2, shape).astype(np.float32)
    x[0, 0, 0] = np.array([0.5, -0.5, 1.5, -1.5, 2.5, -2.5, 200, -200]) / 31.7
    _assert_equal(*_both(tmp_path, model, x))


def test_quant_to_bf16_and_back(tmp_path: Path) -> None:
    shape = (1, 4, 8, 8)
    tensors = (
        Tensor(name="x", offset=gmem(3, 0), shape=shape),
        Tensor(name="q", offset=-1, element=Element.BF16, shape=shape),
        Tensor(name="y", offset=gmem(4, 0), shape=shape),
    )
    model = _file(
        tensors,
        ("quant", {"from": "NONE", "to": "BF16", "scale": 1.0}, "x", "q"),
        ("quant", {"from": "BF16", "to": "NONE", "scale": 1.0}, "q", "y"),
    )
    x = np.random.default_rng(1).normal(0, 50, shape).astype(np.float32)
    _assert_equal(*_both(tmp_path, model, x))


@pytest.mark.parametrize("name", ["softmax", "softmax_cpu"])
@pytest.mark.parametrize(
    ("shape", "axis"),
    [((1, 1000, 1, 1), 1), ((2, 5, 3, 7), 3), ((2, 5, 3, 7), 1), ((1, 30, 1, 7), 3)],
)
def test_softmax(tmp_path: Path, name: str, shape: tuple[int, int, int, int], axis: int) -> None:
    tensors = (
        Tensor(name="x", offset=gmem(3, 0), shape=shape),
        Tensor(name="y", offset=gmem(4, 0), shape=shape),
    )
    x = np.random.default_rng(2).normal(0, 4, shape).astype(np.float32)
    x.flat[0] = 7  # above most rows' maximum
    ours, theirs = _both(tmp_path, _file(tensors, (name, {"axis": axis}, "x", "y")), x)
    np.testing.assert_array_equal(ours["y"], theirs["y"])


def test_transpose(tmp_path: Path) -> None:
    tensors = (
        Tensor(name="x", offset=gmem(3, 0), shape=(1, 5, 6, 3)),
        Tensor(name="y", offset=gmem(4, 0), shape=(1, 3, 5, 6)),
    )
    x = np.random.default_rng(3).normal(size=(1, 5, 6, 3)).astype(np.float32)
    _assert_equal(*_both(tmp_path, _file(tensors, ("transpose", {}, "x", "y")), x))


def test_cumsum(tmp_path: Path) -> None:
    shape = (1, 3, 40, 4)
    tensors = (
        Tensor(name="x", offset=gmem(3, 0), shape=shape),
        Tensor(name="y", offset=gmem(4, 0), shape=shape),
    )
    x = np.random.default_rng(4).normal(size=shape).astype(np.float32)
    _assert_equal(*_both(tmp_path, _file(tensors, ("cumsum", {"axis": 2}, "x", "y")), x))


def test_which_tensors_are_listed(tmp_path: Path) -> None:
    """All that are not overwritten, sorted by name; without memory too if a CPU function
    touches them."""
    shape = (1, 2, 2, 2)
    tensors = (
        Tensor(name="x", offset=gmem(3, 0), shape=shape),
        Tensor(name="b", offset=-1, shape=shape),
        Tensor(name="overwritten", offset=0, shape=shape, overwrote=True),
        Tensor(name="a", offset=64, shape=shape),
        Tensor(name="y", offset=gmem(4, 0), shape=shape),
    )
    model = _file(
        tensors,
        ("transpose", {}, "x", "b"),
        ("transpose", {}, "b", "overwritten"),
        ("transpose", {}, "overwritten", "a"),
        ("transpose", {}, "a", "y"),
    )
    x = np.random.default_rng(5).normal(size=shape).astype(np.float32)
    ours, theirs = _both(tmp_path, model, x)
    assert list(theirs) == ["a", "b", "x", "y"]
    _assert_equal(ours, theirs)
    _assert_equal(*_both(tmp_path, model, x, all_tensors=False))
