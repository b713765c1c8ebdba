"""Descriptors equal the vendor encoder's words, bit for bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cvi_chip_cv183x.spec import CV183X
from cvi_tpu.chip import ChipSpec
from cvi_tpu.isa.codec import decode, encode
from cvi_tpu.isa.hazards import find_races
from cvi_tpu.isa.instructions import Copy, Engine, Fill, MatMul, MatrixCopy
from cvi_tpu.isa.layout import Layout
from cvi_tpu.isa.stream import cmdbuf, parse_cmdbuf
from isa_vectors import UNSET_LAYER, WRONG_SIZE, tdma_instructions, tiu_instruction, vectors

CHIPS = [CV183X]
chips = pytest.mark.parametrize("spec", CHIPS, ids=lambda spec: spec.name)


def differences(layout: Layout, ours: bytes, theirs: bytes) -> dict[str, tuple[int, int]]:
    """Fields that differ: (ours, theirs)."""
    first, second = layout.unpack(ours), layout.unpack(theirs)
    return {name: (first[name], second[name]) for name in first if first[name] != second[name]}


@chips
def test_tiu_words(shared: Path, spec: ChipSpec) -> None:
    cases = vectors(shared, "tiu", spec.name)
    assert len(cases) > 50
    for case, words in cases:
        descriptor = encode(tiu_instruction(case, spec.lanes), spec, id=1)
        found = differences(spec.tiu, descriptor, words[0])
        if any(name in case["key"] for name in UNSET_LAYER):
            found.pop("layer_info", None)
        assert not found, case["key"]


@chips
def test_tdma_words(shared: Path, spec: ChipSpec) -> None:
    cases = vectors(shared, "tdma", spec.name)
    assert len(cases) > 30
    for case, words in cases:
        made = tdma_instructions(case, spec.lanes, spec.lane_bytes)
        assert len(made) == len(words)
        for number, (instruction, theirs) in enumerate(zip(made, words, strict=True), 1):
            ours = encode(instruction, spec, id=number)
            found = differences(spec.tdma, ours, theirs)
            if case["key"].startswith(WRONG_SIZE):
                assert set(found) == {"src_n_stride"}, case["key"]
                continue
            if "lrn" in case["key"] and isinstance(instruction, Fill):
                found = {name: pair for name, pair in found.items() if name[:4] != "src_"}
            assert not found, case["key"]


@chips
@pytest.mark.parametrize("engine", list(Engine), ids=lambda engine: engine.name)
def test_vendor_words_decode_to_the_instruction(
    shared: Path, spec: ChipSpec, engine: Engine
) -> None:
    """Also where the vendor leaves stale fields that have no effect."""
    for case, words in vectors(shared, engine.name.lower(), spec.name):
        if case["key"].startswith(WRONG_SIZE) or any(n in case["key"] for n in UNSET_LAYER):
            continue
        if engine is Engine.TIU:
            made = [tiu_instruction(case, spec.lanes)]
        else:
            made = tdma_instructions(case, spec.lanes, spec.lane_bytes)
        for number, (instruction, theirs) in enumerate(zip(made, words, strict=True), 1):
            command = decode(engine, theirs, spec)
            again = decode(engine, encode(instruction, spec, id=number), spec)
            assert command == again, case["key"]
            if not isinstance(instruction, MatMul) and "lut" not in case["key"]:
                assert command.instruction == instruction or case["key"].startswith("tiu_copy")


@chips
@pytest.mark.parametrize("name", ["int8_a", "int8_b", "bf16"])
def test_a_compiled_network_is_reproduced(shared: Path, spec: ChipSpec, name: str) -> None:
    """Parse the vendor's command buffer, write it again: the same bytes.

    The only difference: for BF16 max pooling the vendor also writes the 8-bit fill value,
    which that instruction does not read.
    """
    data = np.load(shared / "golden" / f"program_{spec.name}_{name}.npz")["cmdbuf"].tobytes()
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


@chips
def test_compressed_loads_are_understood(shared: Path, spec: ChipSpec) -> None:
    data = np.load(shared / "golden" / f"program_{spec.name}_bf16.npz")["cmdbuf"].tobytes()
    loads = [c.instruction for c in parse_cmdbuf(data, spec) if c.engine is Engine.TDMA]
    assert any(isinstance(i, (Copy, MatrixCopy)) and i.compressed for i in loads)


@chips
@pytest.mark.parametrize("name", ["int8_a", "int8_b", "bf16"])
def test_compiled_networks_have_no_races(shared: Path, spec: ChipSpec, name: str) -> None:
    """The vendor's compiler synchronises its programs correctly, and we can tell."""
    data = np.load(shared / "golden" / f"program_{spec.name}_{name}.npz")["cmdbuf"].tobytes()
    assert find_races(parse_cmdbuf(data, spec), spec) == []


@chips
def test_a_serial_and_parallel_program_is_reproduced(shared: Path, spec: ChipSpec) -> None:
    data = np.load(shared / "golden" / f"sync_dmabuf_{spec.name}.npz")["cmdbuf"].tobytes()
    assert cmdbuf(parse_cmdbuf(data, spec), spec) == data
