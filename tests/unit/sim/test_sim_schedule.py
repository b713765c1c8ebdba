"""In which order commands run, and that no wait is for ever."""

from __future__ import annotations

import pytest

from cvi.errors import RunnerError
from cvi_tpu.isa.codec import MAX_ID, Command
from cvi_tpu.isa.instructions import Arith, ArithOp, Engine, Fill
from cvi_tpu.isa.operands import Local
from cvi_tpu.sim.schedule import Schedule, ordered

BYTE = Local(0, (1, 1, 1, 1), (16, 16, 1, 1))


def _tiu(id: int, wait: int = 0) -> Command:
    return Command(Engine.TIU, id, wait, Arith(op=ArithOp.COPY, result=BYTE, left=BYTE))


def _tdma(id: int, wait: int = 0) -> Command:
    return Command(Engine.TDMA, id, wait, Fill(target=BYTE, value=0))


def _order(commands: list[Command], schedule: Schedule, seed: int = 0) -> str:
    """E.g. "D1 T1": which engine's command ran when."""
    letters = {Engine.TIU: "T", Engine.TDMA: "D"}
    return " ".join(f"{letters[c.engine]}{c.id}" for c in ordered(commands, schedule, seed=seed))


FREE = [_tdma(1), _tiu(1), _tdma(2), _tiu(2)]


def test_free_commands_follow_the_policy() -> None:
    assert _order(FREE, Schedule.PROGRAM) == "D1 T1 D2 T2"
    assert _order(FREE, Schedule.TIU_FIRST) == "T1 T2 D1 D2"
    assert _order(FREE, Schedule.TDMA_FIRST) == "D1 D2 T1 T2"


def test_random_orders_differ_and_repeat() -> None:
    orders = {_order(FREE, Schedule.RANDOM, seed) for seed in range(30)}
    assert len(orders) == 6  # all interleavings of two and two
    assert _order(FREE, Schedule.RANDOM, 5) == _order(FREE, Schedule.RANDOM, 5)


@pytest.mark.parametrize("schedule", list(Schedule))
def test_waits_are_honoured(schedule: Schedule) -> None:
    chain = [_tdma(1), _tiu(1, wait=1), _tdma(2, wait=1), _tiu(2, wait=2)]
    assert _order(chain, schedule, 3) == "D1 T1 D2 T2"


def test_a_wait_for_what_comes_later_in_the_file_is_legal() -> None:
    assert _order([_tiu(1, wait=1), _tdma(1)], Schedule.PROGRAM) == "D1 T1"


@pytest.mark.parametrize(
    "commands",
    [
        [_tiu(1, wait=1)],
        [_tdma(1), _tiu(1, wait=2)],
        [_tiu(1, wait=1), _tdma(1, wait=1)],
    ],
)
@pytest.mark.parametrize("schedule", list(Schedule))
def test_a_wait_for_ever_is_an_error(commands: list[Command], schedule: Schedule) -> None:
    with pytest.raises(RunnerError, match="wait for ever"):
        list(ordered(commands, schedule))


@pytest.mark.parametrize("ids", [[0], [2], [1, 1], [1, 3]])
def test_ids_count_up(ids: list[int]) -> None:
    with pytest.raises(RunnerError, match="must count"):
        list(ordered([_tiu(i) for i in ids], Schedule.PROGRAM))


def test_counters_restart_after_the_last_id() -> None:
    """The second segment begins only when both engines have ended the first."""
    first = [_tdma(1), *(_tiu(i) for i in range(1, MAX_ID + 1))]
    second = [_tdma(1), _tiu(1, wait=1)]
    order = list(ordered([*first, *second], Schedule.TIU_FIRST))
    assert [c.engine for c in order[-3:]] == [Engine.TDMA, Engine.TDMA, Engine.TIU]
    assert len(order) == MAX_ID + 3


def test_no_commands() -> None:
    assert list(ordered([], Schedule.RANDOM)) == []
