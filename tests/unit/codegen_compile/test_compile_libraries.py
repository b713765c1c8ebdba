"""Shared libraries of CPU functions in the program file."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from cvi.errors import InputError
from cvi.ir import Op
from cvi_tpu.codegen.cpu import CpuCall, OnCpu
from cvi_tpu.codegen.libraries import library_sections
from cvi_tpu.model import SectionKind

X86, AARCH64 = 62, 183


def rule(op: Op) -> CpuCall:
    return CpuCall(op.name, {})


def library(path: Path, machine: int, *, bits: int = 2, kind: int = 3) -> Path:
    """The beginning of an ELF file; enough to tell what it is."""
    path.write_bytes(struct.pack("<4sBB10xHH", b"\x7fELF", bits, 1, kind, machine) + b"code")
    return path


def test_a_section_for_each_library_once(tmp_path: Path) -> None:
    x86 = library(tmp_path / "a.so", X86)
    arm = library(tmp_path / "b.so", AARCH64)
    other = library(tmp_path / "c.so", AARCH64)
    kernels = [
        OnCpu(rule),
        OnCpu(rule, x86=x86, aarch64=arm),
        OnCpu(rule, x86=x86),
        OnCpu(rule, aarch64=other),
    ]
    sections = library_sections(kernels)
    assert [(s.kind, s.name) for s in sections] == [
        (SectionKind.X86, "a.so"),
        (SectionKind.AARCH64, "b.so"),
        (SectionKind.AARCH64, "c.so"),
    ]
    assert sections[0].data == x86.read_bytes()


def test_no_library_no_section() -> None:
    assert library_sections([OnCpu(rule), OnCpu(rule)]) == []


@pytest.mark.parametrize(
    "wrong",
    [{"machine": AARCH64}, {"machine": X86, "bits": 1}, {"machine": X86, "kind": 2}],
    ids=["processor", "32 bits", "program"],
)
def test_a_library_for_another_machine_is_refused(tmp_path: Path, wrong: dict[str, int]) -> None:
    path = library(tmp_path / "a.so", **wrong)
    with pytest.raises(InputError, match="no shared library for x86"):
        library_sections([OnCpu(rule, x86=path)])


def test_a_file_that_is_too_short_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.so"
    path.write_bytes(b"\x7fELF")
    with pytest.raises(InputError, match="no shared library for aarch64"):
        library_sections([OnCpu(rule, aarch64=path)])


def test_a_missing_library_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read") as caught:
        library_sections([OnCpu(rule, x86=tmp_path / "gone.so")])
    assert caught.value.where.endswith("gone.so")
