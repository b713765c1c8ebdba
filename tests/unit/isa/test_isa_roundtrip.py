"""Encoding and decoding are inverse, for every kind of instruction."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chips import CHIPS, each_chip
from cvi.errors import CviError
from cvi_tpu.chip import ChipSpec
from cvi_tpu.isa.codec import decode, encode, engine_of, layout_of
from cvi_tpu.isa.instructions import Engine, Instruction
from isa_strategies import instructions, kinds

STRATEGIES = {spec.name: kinds(spec) for spec in CHIPS}
KINDS = [(spec, kind) for spec in CHIPS for kind in STRATEGIES[spec.name]]
MIXED = {spec.name: instructions(spec) for spec in CHIPS}
IDS = st.integers(1, 0xFFFF)
WAITS = st.integers(0, 0xFFFF)
RELAXED = [HealthCheck.too_slow, HealthCheck.data_too_large]
THOROUGH = ("cv183x", "cv182x")
"""One chip of each descriptor layout; the others differ in numbers only."""


@pytest.mark.parametrize(("spec", "kind"), KINDS, ids=lambda p: getattr(p, "name", p))
def test_decoding_gives_back_what_was_encoded(spec: ChipSpec, kind: str) -> None:
    examples = 50 if spec.name in THOROUGH else 10

    @settings(max_examples=examples, deadline=None, suppress_health_check=RELAXED)
    @given(instruction=STRATEGIES[spec.name][kind], id=IDS, wait=WAITS)
    def check(instruction: Instruction, id: int, wait: int) -> None:
        engine = engine_of(instruction)
        descriptor = encode(instruction, spec, id=id, wait=wait)
        assert len(descriptor) == (112 if engine is Engine.TIU else 64)
        command = decode(engine, descriptor, spec)
        assert command.instruction == instruction
        assert (command.engine, command.id, command.wait) == (engine, id, wait)
        assert encode(command.instruction, spec, id=id, wait=wait) == descriptor

    check()


@each_chip
@settings(max_examples=50, deadline=None, suppress_health_check=RELAXED)
@given(data=st.data())
def test_different_instructions_have_different_bytes(spec: ChipSpec, data: st.DataObject) -> None:
    any_instruction = MIXED[spec.name]
    first, second = data.draw(any_instruction), data.draw(any_instruction)
    if engine_of(first) is engine_of(second):
        same = encode(first, spec) == encode(second, spec)
        assert same == (first == second)


@each_chip
@settings(max_examples=50, deadline=None, suppress_health_check=RELAXED)
@given(data=st.data(), layer=st.integers(0, 0xFFFF))
def test_the_layer_is_kept(spec: ChipSpec, data: st.DataObject, layer: int) -> None:
    named = replace(data.draw(MIXED[spec.name]), layer=layer)
    descriptor = encode(named, spec)
    assert decode(engine_of(named), descriptor, spec).instruction.layer == layer


@each_chip
@settings(max_examples=100, deadline=None, suppress_health_check=RELAXED)
@given(data=st.data())
def test_a_flipped_bit_decodes_or_is_refused(spec: ChipSpec, data: st.DataObject) -> None:
    """Never another exception; what decodes encodes again to an equal instruction."""
    instruction = data.draw(MIXED[spec.name])
    engine = engine_of(instruction)
    descriptor = bytearray(encode(instruction, spec, id=1))
    for _ in range(data.draw(st.integers(1, 3))):
        bit = data.draw(st.integers(0, 8 * len(descriptor) - 1))
        descriptor[bit // 8] ^= 1 << bit % 8
    try:
        command = decode(engine, bytes(descriptor), spec)
    except CviError:
        return
    again = decode(engine, encode(command.instruction, spec), spec)
    assert again.instruction == command.instruction


@each_chip
@pytest.mark.parametrize("engine", list(Engine))
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_random_bytes_decode_or_are_refused(
    spec: ChipSpec, engine: Engine, data: st.DataObject
) -> None:
    size = layout_of(engine, spec).size
    descriptor = data.draw(st.binary(min_size=size, max_size=size))
    try:
        command = decode(engine, descriptor, spec)
    except CviError:
        return
    assert engine_of(command.instruction) is engine


@each_chip
@pytest.mark.parametrize("engine", list(Engine))
@pytest.mark.parametrize("size", [0, 1, 63, 65, 111, 113])
def test_a_descriptor_of_another_length_is_refused(
    spec: ChipSpec, engine: Engine, size: int
) -> None:
    with pytest.raises(CviError, match="bytes"):
        decode(engine, bytes(size), spec)
