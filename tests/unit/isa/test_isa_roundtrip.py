"""Encoding and decoding are inverse, for every kind of instruction."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cvi.errors import CviError
from cvi_chip_cv183x.spec import CV183X
from cvi_tpu.isa.codec import decode, encode, engine_of, layout_of
from cvi_tpu.isa.instructions import Engine, Instruction
from isa_strategies import instructions, kinds

KINDS = kinds(CV183X)
IDS = st.integers(1, 0xFFFF)
WAITS = st.integers(0, 0xFFFF)
RELAXED = [HealthCheck.too_slow, HealthCheck.data_too_large]


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60, deadline=None, suppress_health_check=RELAXED)
@given(data=st.data(), id=IDS, wait=WAITS)
def test_decoding_gives_back_what_was_encoded(
    kind: str, data: st.DataObject, id: int, wait: int
) -> None:
    instruction = data.draw(KINDS[kind])
    engine = engine_of(instruction)
    descriptor = encode(instruction, CV183X, id=id, wait=wait)
    assert len(descriptor) == (112 if engine is Engine.TIU else 64)
    command = decode(engine, descriptor, CV183X)
    assert command.instruction == instruction
    assert (command.engine, command.id, command.wait) == (engine, id, wait)
    assert encode(command.instruction, CV183X, id=id, wait=wait) == descriptor


@settings(max_examples=150, deadline=None, suppress_health_check=RELAXED)
@given(first=instructions(CV183X), second=instructions(CV183X))
def test_different_instructions_have_different_bytes(
    first: Instruction, second: Instruction
) -> None:
    if engine_of(first) is engine_of(second):
        same = encode(first, CV183X) == encode(second, CV183X)
        assert same == (first == second)


@settings(max_examples=150, deadline=None, suppress_health_check=RELAXED)
@given(instruction=instructions(CV183X), layer=st.integers(0, 0xFFFF))
def test_the_layer_is_kept(instruction: Instruction, layer: int) -> None:
    named = replace(instruction, layer=layer)
    descriptor = encode(named, CV183X)
    assert decode(engine_of(named), descriptor, CV183X).instruction.layer == layer


@settings(max_examples=300, deadline=None, suppress_health_check=RELAXED)
@given(instruction=instructions(CV183X), data=st.data())
def test_a_flipped_bit_decodes_or_is_refused(instruction: Instruction, data: st.DataObject) -> None:
    """Never another exception; what decodes encodes again to an equal instruction."""
    engine = engine_of(instruction)
    descriptor = bytearray(encode(instruction, CV183X, id=1))
    for _ in range(data.draw(st.integers(1, 3))):
        bit = data.draw(st.integers(0, 8 * len(descriptor) - 1))
        descriptor[bit // 8] ^= 1 << bit % 8
    try:
        command = decode(engine, bytes(descriptor), CV183X)
    except CviError:
        return
    again = decode(engine, encode(command.instruction, CV183X), CV183X)
    assert again.instruction == command.instruction


@pytest.mark.parametrize("engine", list(Engine))
@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_random_bytes_decode_or_are_refused(engine: Engine, data: st.DataObject) -> None:
    size = layout_of(engine, CV183X).size
    descriptor = data.draw(st.binary(min_size=size, max_size=size))
    try:
        command = decode(engine, descriptor, CV183X)
    except CviError:
        return
    assert engine_of(command.instruction) is engine


@pytest.mark.parametrize("engine", list(Engine))
@pytest.mark.parametrize("size", [0, 1, 63, 65, 111, 113])
def test_a_descriptor_of_another_length_is_refused(engine: Engine, size: int) -> None:
    with pytest.raises(CviError, match="bytes"):
        decode(engine, bytes(size), CV183X)
