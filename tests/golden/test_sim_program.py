"""Whole compiled programs on the simulator: DRAM afterwards is the vendor's, whatever the
order in which the two engines run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from test_sim_tdma import in_window

from chips import BY_NAME
from cvi_tpu.chip import ChipSpec
from cvi_tpu.isa.codec import Command
from cvi_tpu.isa.stream import parse_cmdbuf
from cvi_tpu.sim import Machine, Regions, Schedule
from cvi_tpu.sim.schedule import ordered
from isa_vectors import PROGRAMS

ORDERS = [
    (Schedule.PROGRAM, 0),
    (Schedule.TIU_FIRST, 0),
    (Schedule.TDMA_FIRST, 0),
    (Schedule.RANDOM, 1),
    (Schedule.RANDOM, 2),
]


def _moved(archive: Any, spec: ChipSpec) -> list[Command]:
    bases, window = archive["base_regs"].tolist(), int(archive["window"][0])
    commands = parse_cmdbuf(archive["cmdbuf"].tobytes(), spec)
    return [
        Command(c.engine, c.id, c.wait, in_window(c.instruction, bases, window)) for c in commands
    ]


@pytest.mark.parametrize(("schedule", "seed"), ORDERS)
@pytest.mark.parametrize(("chip", "name"), PROGRAMS)
def test_memory_after_a_program(
    shared: Path, chip: str, name: str, schedule: Schedule, seed: int
) -> None:
    spec = BY_NAME[chip]
    with np.load(shared / "golden" / f"program_{chip}_{name}.npz") as archive:
        dram: npt.NDArray[np.uint8] = np.zeros(int(archive["window"][1]), np.uint8)
        dram[archive["gmem_init_at"]] = archive["gmem_init"]
        want = dram.copy()
        want[archive["gmem_out_at"]] = archive["gmem_out"]
        commands = _moved(archive, spec)
    machine = Machine(spec, Regions({0: dram}))
    for command in ordered(commands, schedule, seed=seed):
        machine.execute(command.instruction)
    np.testing.assert_array_equal(dram, want)
