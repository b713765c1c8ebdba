"""Whole compiled programs on the simulator: DRAM afterwards is the vendor's, whatever the
order in which the two engines run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from test_sim_tdma import in_window

from cvi_chip_cv183x.spec import CV183X
from cvi_tpu.isa.codec import Command
from cvi_tpu.isa.stream import parse_cmdbuf
from cvi_tpu.sim import Machine, Regions, Schedule
from cvi_tpu.sim.schedule import ordered

ORDERS = [
    (Schedule.PROGRAM, 0),
    (Schedule.TIU_FIRST, 0),
    (Schedule.TDMA_FIRST, 0),
    (Schedule.RANDOM, 1),
    (Schedule.RANDOM, 2),
]


def _moved(archive: Any) -> list[Command]:
    bases, window = archive["base_regs"].tolist(), int(archive["window"][0])
    commands = parse_cmdbuf(archive["cmdbuf"].tobytes(), CV183X)
    return [
        Command(c.engine, c.id, c.wait, in_window(c.instruction, bases, window)) for c in commands
    ]


@pytest.mark.parametrize(("schedule", "seed"), ORDERS)
@pytest.mark.parametrize("name", ["int8_a", "int8_b", "bf16"])
def test_memory_after_a_program(shared: Path, name: str, schedule: Schedule, seed: int) -> None:
    with np.load(shared / "golden" / f"program_cv183x_{name}.npz") as archive:
        dram: npt.NDArray[np.uint8] = np.zeros(int(archive["window"][1]), np.uint8)
        dram[archive["gmem_init_at"]] = archive["gmem_init"]
        want = dram.copy()
        want[archive["gmem_out_at"]] = archive["gmem_out"]
        commands = _moved(archive)
    machine = Machine(CV183X, Regions({0: dram}))
    for command in ordered(commands, schedule, seed=seed):
        machine.execute(command.instruction)
    np.testing.assert_array_equal(dram, want)
