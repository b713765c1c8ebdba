"""The simulator against the vendor's, one compute instruction at a time: all of local
memory after each golden vector."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from golden_memory import Bytes, generated

from chips import BY_NAME, CHIPS
from cvi_tpu.chip import ChipSpec
from cvi_tpu.isa.codec import decode
from cvi_tpu.isa.instructions import Engine
from cvi_tpu.sim import Machine, Regions

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "golden"


@functools.cache
def _vectors(chip: str) -> tuple[list[dict[str, Any]], Any]:
    listing = FOLDER / f"tiu_{chip}.json"
    if not listing.is_file():
        return [], None
    return json.loads(listing.read_text()), np.load(FOLDER / f"tiu_{chip}.npz")


def _memory(case: dict[str, Any], spec: ChipSpec) -> Bytes:
    flat = generated(case["lmem_kind"], spec.lanes * spec.lane_bytes, case["lmem_seed"])
    return flat.reshape(spec.lanes, spec.lane_bytes)


def _apply(memory: Bytes, places: Any, values: Any) -> None:
    at = places.astype(int)
    memory[at[:, 0], at[:, 1]] = values


CASES = [(spec.name, case["key"]) for spec in CHIPS for case in _vectors(spec.name)[0]]


NO_DATA = pytest.param("", "", marks=pytest.mark.skip("no data"))


@pytest.mark.parametrize(("chip", "key"), CASES or [NO_DATA])
def test_local_memory_is_the_vendors(chip: str, key: str) -> None:
    listing, archive = _vectors(chip)
    spec = BY_NAME[chip]
    case = next(c for c in listing if c["key"] == key)
    before = _memory(case, spec)
    _apply(before, archive[f"{key}_patch_at"], archive[f"{key}_patch_to"])
    after = before.copy()
    _apply(after, archive[f"{key}_changed_at"], archive[f"{key}_changed_to"])

    machine = Machine(spec, Regions({}))
    machine.memory.bytes[...] = before
    words = archive[f"{key}_words"].astype("<u4").tobytes()
    machine.execute(decode(Engine.TIU, words, spec).instruction)

    np.testing.assert_array_equal(machine.memory.bytes, after)
    assert not np.array_equal(before, after), "the vector must change something"
