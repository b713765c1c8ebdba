"""Reading and writing program files."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import replace
from pathlib import Path

import lz4.block
import pytest
from samples import sample

from cvi.errors import InputError, ModelError
from cvi.ir.types import DType
from cvi_tpu.model import Element, Section, SectionKind, read, read_file, write

HEADER = 48


def test_what_is_written_is_read_back() -> None:
    assert read(write(sample())) == sample()


def test_equal_models_give_equal_bytes() -> None:
    assert write(sample()) == write(sample())


def test_header() -> None:
    data = write(sample())
    magic, size, major, minor, md5, chip = struct.unpack_from("<8sIBB16s16s", data)
    assert (magic, major, minor) == (b"CviModel", 1, 4)
    assert chip.rstrip(b"\0") == b"cv183x"
    assert md5 == hashlib.md5(data[HEADER:]).digest()
    assert (HEADER + size) % 16 == 0


def test_sections_start_at_multiples_of_16_bytes() -> None:
    data = write(sample())
    for section in read(data).sections:
        assert section.offset % 16 == 0
        assert section.data in data


def test_default_build_time_is_fixed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    assert read(write(replace(sample(), build_time=""))).build_time == "1970-01-01 00:00:00"


def test_build_time_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    assert read(write(replace(sample(), build_time=""))).build_time == "1970-01-02 00:00:00"
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "soon")
    with pytest.raises(InputError, match="SOURCE_DATE_EPOCH"):
        write(replace(sample(), build_time=""))


def test_changed_payload_is_noticed_not_refused() -> None:
    data = bytearray(write(sample()))
    data[-1] ^= 1
    assert read(write(sample())).intact
    assert not read(bytes(data)).intact


@pytest.mark.parametrize("keep", [0, 7, 8, 47, 48, 60, 400])
def test_cut_files_are_refused(keep: int) -> None:
    with pytest.raises(ModelError):
        read(write(sample())[:keep])


def test_a_cut_section_is_named() -> None:
    with pytest.raises(ModelError, match="subfunc_0"):
        read(write(sample())[:-1])


def test_bytes_after_the_last_section_are_ignored() -> None:
    assert read(write(sample()) + b"more") == sample()


def test_another_format_is_refused() -> None:
    with pytest.raises(ModelError, match="not a cvimodel"):
        read(b"PK\3\4" + bytes(100))


def test_old_header_means_cv183x() -> None:
    data = write(replace(sample(), version=(1, 4, 0)))
    size = struct.unpack_from("<I", data, 8)[0]
    old = struct.pack("<8sIBB16s2s", b"CviModel", size, 1, 0, bytes(16), b"AA")
    assert len(old) == 32
    model = read(old + data[HEADER:])
    assert model.chip == "cv183x"
    assert model.programs == sample().programs


def test_programs_are_needed_to_write() -> None:
    with pytest.raises(ModelError, match="at least one program"):
        write(replace(sample(), programs=()))


@pytest.mark.parametrize("chip", ["", "a-name-of-more-than-16"])
def test_chip_must_fit_the_header(chip: str) -> None:
    with pytest.raises(ModelError, match="chip name"):
        write(replace(sample(), chip=chip))


def test_unknown_names_are_errors() -> None:
    with pytest.raises(ModelError, match="tensor"):
        sample().programs[0].tensor("nothing")
    with pytest.raises(ModelError, match="section"):
        sample().section("nothing")


def test_of_two_tensors_with_one_name_the_last_counts() -> None:
    program = sample().programs[0]
    second = replace(program.tensors[0], offset=128)
    doubled = replace(program, tensors=(*program.tensors, second))
    assert doubled.tensor("in") is second


def test_properties_of_a_tensor() -> None:
    tensor = sample().programs[0].tensor("in")
    assert (tensor.region, tensor.address) == (3, 0)
    assert tensor.bytes == 4096  # aligned: as given
    assert replace(tensor, aligned=False).bytes == 48
    assert tensor.qscale == pytest.approx(100.5)
    assert replace(tensor, quant=None).qscale == 1.0
    assert not sample().programs[0].tensor("out").has_memory


@pytest.mark.parametrize("element", list(Element))
def test_elements_and_dtypes_correspond(element: Element) -> None:
    assert Element.of(element.dtype) is element


def test_a_dtype_without_element_is_refused() -> None:
    with pytest.raises(ModelError, match="int64"):
        Element.of(DType.INT64)


# -- compressed sections ----------------------------------------------------


def _packed(data: bytes, size: int | None = None) -> Section:
    return Section(
        kind=SectionKind.CMDBUF,
        name="c",
        compress=True,
        decompressed_size=len(data) if size is None else size,
        data=lz4.block.compress(data, store_size=False),
    )


def test_lz4_sections_unpack() -> None:
    data = bytes(range(64)) * 50
    section = _packed(data)
    assert len(section.data) < len(data)
    assert section.content() == data
    model = replace(sample(), sections=(section,))
    assert read(write(model)).sections[0].content() == data


@pytest.mark.parametrize("size", [0, 3199, 3201, 10**6, 2**32 - 1])
def test_a_wrong_unpacked_size_is_refused(size: int) -> None:
    with pytest.raises(ModelError, match="section c"):
        _packed(bytes(range(64)) * 50, size).content()


def test_broken_lz4_is_refused() -> None:
    section = replace(_packed(bytes(200)), data=b"\xff" * 30)
    with pytest.raises(ModelError, match="section c"):
        section.content()


def test_compression_flags_on_weights_are_ignored() -> None:
    section = Section(name="weight", compress=True, decompressed_size=99, data=b"abc")
    assert section.content() == b"abc"


def test_encrypted_sections_are_refused() -> None:
    with pytest.raises(ModelError, match="encrypted"):
        Section(name="x", encrypt=True, data=b"abc").content()


# -- files of the vendor's compiler -------------------------------------------


def _real(shared: Path) -> list[Path]:
    return sorted((shared / "models" / "cvimodel_cv181x").glob("*.cvimodel"))


def test_real_files_survive_read_and_write(shared: Path) -> None:
    paths = _real(shared)
    assert len(paths) == 8
    for path in paths:
        model = read_file(path)
        assert model.intact, path.name
        assert model.chip == "cv181x"
        assert model.programs[0].tensors
        assert read(write(model)) == model, path.name


def test_errors_of_read_file_name_the_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="absent"):
        read_file(tmp_path / "absent")
    (tmp_path / "bad").write_bytes(b"x" * 100)
    with pytest.raises(ModelError, match="bad"):
        read_file(tmp_path / "bad")
