"""Hostile bytes give a model or one ModelError, quickly and in little memory."""

from __future__ import annotations

import random
import struct
import time
import tracemalloc

import pytest
from samples import sample

from cvi.errors import ModelError
from cvi_tpu.model import CviModelFile, decode_arguments, encode_arguments, read, write
from cvi_tpu.model.flat import read_root
from mutants import words_changed

MUTANTS = 500


def _mutant(data: bytes, seed: int) -> bytes:
    return words_changed(data, random.Random(seed))


def _attempt(data: bytes) -> bool:
    """Whether the bytes are accepted. Reading, and unpacking what was read, may only fail
    with a ModelError."""
    try:
        model = read(data)
        for section in model.sections:
            section.content()
        for program in model.programs:
            for routine in program.routines:
                if routine.cpu is not None:
                    decode_arguments(routine.cpu.args)
    except ModelError:
        return False
    return True


def test_mutants_are_read_or_refused() -> None:
    data = write(sample())
    start = time.perf_counter()
    accepted = sum(_attempt(_mutant(data, seed)) for seed in range(MUTANTS))
    assert 0 < accepted < MUTANTS, "some mutants must pass and some must fail"
    assert time.perf_counter() - start < 30


def test_mutants_of_the_description_alone() -> None:
    size = struct.unpack_from("<I", write(sample()), 8)[0]
    data = write(sample())
    for seed in range(MUTANTS):
        body = _mutant(data[48 : 48 + size], seed)
        header = bytearray(data[:48])
        struct.pack_into("<I", header, 8, len(body))
        _attempt(bytes(header) + body + data[48 + size :])


def test_every_single_byte_of_the_description_can_be_broken() -> None:
    data = write(sample())
    size = struct.unpack_from("<I", data, 8)[0]
    for at in range(48, 48 + size):
        for value in (0x00, 0x7F, 0xFF):
            out = bytearray(data)
            out[at] = value
            _attempt(bytes(out))


def test_huge_lengths_allocate_nothing() -> None:
    data = bytearray(write(sample()))
    tracemalloc.start()
    for at in range(48, len(data) - 4, 4):
        out = bytearray(data)
        struct.pack_into("<I", out, at, 0x0FFFFFFF)
        _attempt(bytes(out))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 << 20


def _bomb(count: int) -> bytes:
    """A root table with `count` programs that are one table with `count` inputs that are
    one string: few bytes that would become `count` * `count` objects."""
    data = bytearray()

    def word(value: int) -> int:
        data.extend(struct.pack("<I", value & 0xFFFFFFFF))
        return len(data) - 4

    word(0)  # root offset, filled in below
    vtable = len(data)
    slots = [0] * 10
    slots[1], slots[6], slots[7] = 4, 8, 12  # name, programs, sections
    data.extend(struct.pack("<12H", 24, 16, *slots))
    root = len(data)
    struct.pack_into("<I", data, 0, root)
    word(root - vtable)
    name, programs, sections = word(0), word(0), word(0)
    struct.pack_into("<I", data, name, len(data) - name)
    word(1)
    data.extend(b"x\0\0\0")
    struct.pack_into("<I", data, sections, len(data) - sections)
    word(0)
    struct.pack_into("<I", data, programs, len(data) - programs)
    word(count)
    entries = [word(0) for _ in range(count)]
    vtable = len(data)
    data.extend(struct.pack("<10H", 20, 20, 0, 0, 4, 8, 12, 16, 0, 0))
    program = word(len(data) - vtable)
    for entry in entries:  # all entries are one program
        struct.pack_into("<I", data, entry, program - entry)
    names, *others = [word(0) for _ in range(4)]
    for field in others:
        struct.pack_into("<I", data, field, len(data) - field)
        word(0)
    struct.pack_into("<I", data, names, len(data) - names)
    word(count)
    entries = [word(0) for _ in range(count)]
    text = word(4)
    data.extend(b"name\0\0\0\0")
    for entry in entries:  # and its inputs are one string
        struct.pack_into("<I", data, entry, text - entry)
    return bytes(data)


def test_shared_tables_do_not_explode() -> None:
    with pytest.raises(ModelError, match="again and again"):
        read_root(_bomb(4000), CviModelFile)


def test_the_bomb_is_a_valid_buffer_when_small() -> None:
    model = read_root(_bomb(3), CviModelFile)
    assert len(model.programs) == 3
    assert model.programs[2].inputs == ("name",) * 3


def test_names_must_be_utf8() -> None:
    data = write(sample()).replace("größe".encode(), b"gr\xff\xfe\xfe\xfee")
    with pytest.raises(ModelError, match="UTF-8"):
        read(data)


def test_mutants_of_cpu_arguments() -> None:
    data = encode_arguments({"axis": 1, "mode": "linear", "scale": 0.5})
    for seed in range(MUTANTS):
        try:
            decode_arguments(_mutant(data, seed))
        except ModelError:
            continue
