"""Descriptors equal the vendor encoder's words, bit for bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from chips import BY_NAME, each_chip
from cvi_tpu.chip import ChipSpec
from cvi_tpu.isa.codec import decode, encode
from cvi_tpu.isa.hazards import find_races
from cvi_tpu.isa.instructions import Copy, Engine, Fill, MatMul, MatrixCopy
from cvi_tpu.isa.layout import Layout
from cvi_tpu.isa.stream import cmdbuf, parse_cmdbuf
from isa_vectors import (
    PROGRAMS,
    has_unset_layer,
    has_wrong_size,
    tdma_instructions,
    tiu_instruction,
    vectors,
)

each_network = pytest.mark.parametrize(("chip", "name"), PROGRAMS)


def differences(layout: Layout, ours: bytes, theirs: bytes) -> dict[str, tuple[int, int]]:
    """Fields that differ: (ours, theirs)."""
    first, second = layout.unpack(ours), layout.unpack(theirs)
    return {name: (first[name], second[name]) for name in first if first[name] != second[name]}


def network(shared: Path, chip: str, name: str) -> tuple[ChipSpec, bytes]:
    """A chip and the command buffer of a network that the vendor's compiler made for it."""
    with np.load(shared / "golden" / f"program_{chip}_{name}.npz") as archive:
        return BY_NAME[chip], archive["cmdbuf"].tobytes()


def without_stale_fill(found: dict[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
    """Without a difference in the upper byte of a 16-bit fill field, which is not read: the
    vectors give negative fill values to unsigned tensors."""
    return {
        name: (ours, theirs)
        for name, (ours, theirs) in found.items()
        if name not in ("fill", "fill_bf16") or ours != theirs & 0xFF
    }


@each_chip
def test_tiu_words(shared: Path, spec: ChipSpec) -> None:
    cases = vectors(shared, "tiu", spec.name)
    assert len(cases) > 50
    for case, words in cases:
        descriptor = encode(tiu_instruction(case, spec), spec, id=1)
        found = differences(spec.tiu, descriptor, words[0])
        if has_unset_layer(case["key"], spec.name):
            found.pop("layer_info", None)
        if "maxpool" in case["key"]:
            found = without_stale_fill(found)
        assert not found, case["key"]


@each_chip
def test_tdma_words(shared: Path, spec: ChipSpec) -> None:
    cases = vectors(shared, "tdma", spec.name)
    assert len(cases) > 30
    for case, words in cases:
        made = tdma_instructions(case, spec)
        assert len(made) == len(words)
        for number, (instruction, theirs) in enumerate(zip(made, words, strict=True), 1):
            ours = encode(instruction, spec, id=number)
            found = differences(spec.tdma, ours, theirs)
            if has_wrong_size(case["key"], spec.name):
                assert set(found) == {"src_n_stride"}, case["key"]
                continue
            if "lrn" in case["key"] and isinstance(instruction, Fill):
                found = {name: pair for name, pair in found.items() if name[:4] != "src_"}
            assert not found, case["key"]


@each_chip
@pytest.mark.parametrize("engine", list(Engine), ids=lambda engine: engine.name)
def test_vendor_words_decode_to_the_instruction(
    shared: Path, spec: ChipSpec, engine: Engine
) -> None:
    """Also where the vendor leaves stale fields that have no effect."""
    for case, words in vectors(shared, engine.name.lower(), spec.name):
        if has_wrong_size(case["key"], spec.name) or has_unset_layer(case["key"], spec.name):
            continue
        if engine is Engine.TIU:
            made = [tiu_instruction(case, spec)]
        else:
            made = tdma_instructions(case, spec)
        for number, (instruction, theirs) in enumerate(zip(made, words, strict=True), 1):
            command = decode(engine, theirs, spec)
            again = decode(engine, encode(instruction, spec, id=number), spec)
            assert command == again, case["key"]
            if not isinstance(instruction, MatMul) and "lut" not in case["key"]:
                assert command.instruction == instruction or case["key"].startswith("tiu_copy")


@each_network
def test_a_compiled_network_is_reproduced(shared: Path, chip: str, name: str) -> None:
    """Parse the vendor's command buffer, write it again: the same bytes.

    The only difference: for BF16 max pooling the vendor also writes the 8-bit fill value,
    which that instruction does not read.
    """
    spec, data = network(shared, chip, name)
    commands = parse_cmdbuf(data, spec)
    ours = cmdbuf(commands, spec)
    assert len(ours) == len(data)
    position = 0
    for command in commands:
        size = 8 + data[position + 1]
        mine, theirs = (buffer[position : position + size] for buffer in (ours, data))
        layout = spec.tiu if command.engine is Engine.TIU else spec.tdma
        found = differences(layout, mine[8:], theirs[8:])
        assert mine[:8] == theirs[:8]
        assert not found or set(found) == {"fill"}
        position += size


@pytest.mark.parametrize("chip", [chip for chip, name in PROGRAMS if name == "bf16"])
def test_compressed_loads_are_understood(shared: Path, chip: str) -> None:
    spec, data = network(shared, chip, "bf16")
    loads = [c.instruction for c in parse_cmdbuf(data, spec) if c.engine is Engine.TDMA]
    assert any(isinstance(i, (Copy, MatrixCopy)) and i.compressed for i in loads)


@each_network
def test_compiled_networks_have_no_races(shared: Path, chip: str, name: str) -> None:
    """The vendor's compiler synchronises its programs correctly, and we can tell."""
    spec, data = network(shared, chip, name)
    assert find_races(parse_cmdbuf(data, spec), spec) == []


@pytest.mark.parametrize("chip", ["cv183x", "cv182x"])
def test_a_serial_and_parallel_program_is_reproduced(shared: Path, chip: str) -> None:
    data = np.load(shared / "golden" / f"sync_dmabuf_{chip}.npz")["cmdbuf"].tobytes()
    spec = BY_NAME[chip]
    assert cmdbuf(parse_cmdbuf(data, spec), spec) == data
