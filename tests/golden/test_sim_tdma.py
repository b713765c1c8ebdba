"""The simulator against the vendor's, one data movement at a time: all of local memory
and the window of DRAM after each golden vector."""

from __future__ import annotations

import functools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from golden_memory import generated

from chips import BY_NAME, CHIPS
from cvi_tpu.isa import operands
from cvi_tpu.isa.codec import decode
from cvi_tpu.isa.instructions import Engine, Instruction
from cvi_tpu.sim import Machine, Regions
from isa_vectors import has_wrong_size

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "golden"


@functools.cache
def _vectors(chip: str) -> tuple[list[dict[str, Any]], Any]:
    listing = FOLDER / f"tdma_{chip}.json"
    if not listing.is_file():
        return [], None
    return json.loads(listing.read_text()), np.load(FOLDER / f"tdma_{chip}.npz")


def in_window(instruction: Instruction, bases: list[int], window: int) -> Instruction:
    """The instruction with its DRAM operands in region 0, which is the window."""
    moved: dict[str, Any] = {}
    for name in ("source", "target"):
        side = getattr(instruction, name, None)
        if isinstance(side, operands.Dram):
            address = side.address + bases[side.region] - window
            moved[name] = replace(side, region=0, address=address)
    return replace(instruction, **moved)


CASES = [
    (spec.name, case["key"])
    for spec in CHIPS
    for case in _vectors(spec.name)[0]
    if not has_wrong_size(case["key"], spec.name)
]


NO_DATA = pytest.param("", "", marks=pytest.mark.skip("no data"))


@pytest.mark.parametrize(("chip", "key"), CASES or [NO_DATA])
def test_memories_are_the_vendors(chip: str, key: str) -> None:
    listing, archive = _vectors(chip)
    spec = BY_NAME[chip]
    case = next(c for c in listing if c["key"] == key)
    local = generated(case["mem_kind"], spec.lanes * spec.lane_bytes, case["lmem_seed"])
    local = local.reshape(spec.lanes, spec.lane_bytes)
    window = generated(case["mem_kind"], case["gmem_window_bytes"], case["gmem_seed"])
    want_local, want_window = local.copy(), window.copy()
    at = archive[f"{key}_l_at"].astype(int)
    want_local[at[:, 0], at[:, 1]] = archive[f"{key}_l_to"]
    want_window[archive[f"{key}_g_at"].astype(int)] = archive[f"{key}_g_to"]

    machine = Machine(spec, Regions({0: window}))
    machine.memory.bytes[...] = local
    for words in archive[f"{key}_words"]:
        command = decode(Engine.TDMA, words.astype("<u4").tobytes(), spec)
        machine.execute(in_window(command.instruction, case["base_regs"], case["gmem_window_addr"]))

    np.testing.assert_array_equal(machine.memory.bytes, want_local)
    np.testing.assert_array_equal(window, want_window)
