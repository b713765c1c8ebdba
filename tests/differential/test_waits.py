"""The waits in the files of real networks: enough, and missed when one is taken away.

Which bytes two commands really share is observed in the simulator; which of them are in
order without a wait is decided pair by pair.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pytest
from benchmarks.verify import routines
from benchmarks.zoo import Origin, model
from local_traces import Trace, conflict, traces

import cvi
from cvi_chip_cv183x.spec import CV183X
from cvi_tpu.isa.access import LOCAL_MEMORY, accesses
from cvi_tpu.isa.codec import Command
from cvi_tpu.isa.hazards import find_races
from cvi_tpu.isa.instructions import Engine
from cvi_tpu.isa.stream import segments
from cvi_tpu.model import CviModelFile, read_file

SAMPLE = 200
NETWORKS = ("digits", "resnet20_cifar10", "yunet_dynamic", "squeezenet1_1_random", "unet_sedgen")


@pytest.fixture(scope="module", params=NETWORKS)
def file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> CviModelFile:
    """A network as users get it."""
    entry = model(request.param)
    if not entry.present and entry.origin is not Origin.EXAMPLE:
        pytest.skip(f"{entry.file} is not here")
    folder = tmp_path_factory.mktemp("waits")
    path = folder / "net.cvimodel"
    cvi.convert(
        entry.files(folder).model,
        path,
        chip="cv183x",
        input_shapes=entry.input_shapes,
        image_options=entry.pixels,
        dataset=entry.dataset,
        input_num=2,
        verify=False,
    )
    return read_file(path)


@dataclass(frozen=True)
class Segment:
    """The commands of one segment, and those of each engine with what they touch."""

    commands: Sequence[Command]
    rows: Mapping[Engine, Sequence[tuple[Command, Trace]]]

    @classmethod
    def of(cls, file: CviModelFile, commands: Sequence[Command]) -> Segment:
        pairs = list(zip(commands, traces(file, commands, CV183X), strict=True))
        return cls(commands, {e: [p for p in pairs if p[0].engine is e] for e in Engine})

    def uncovered(self, place: int) -> bool:
        """Whether two commands that touch a common byte, one of them writing, have no order
        any more when the command at `place` does not wait."""
        removed = self.commands[place]
        own = self.rows[removed.engine]
        others = self.rows[Engine.TDMA if removed.engine is Engine.TIU else Engine.TIU]
        for index in range(removed.id - 1, len(own)):
            earlier = [c.wait for c, _ in own[: index + 1] if c is not removed]
            finished = max(earlier, default=0)
            if finished >= removed.wait:
                return False  # this and all later commands come after what was waited for
            for _, other in others[finished : removed.wait]:
                if conflict(own[index][1], other, CV183X):
                    return True
        return False


def test_a_removed_wait_is_missed(file: CviModelFile) -> None:
    pieces = [Segment.of(file, piece) for one in routines(file) for piece in segments(one)]
    for piece in pieces:
        assert find_races(piece.commands, CV183X) == []
    waiting = [
        (piece, place)
        for piece in pieces
        for place, command in enumerate(piece.commands)
        if command.wait
    ]
    sample = random.Random(0).sample(waiting, min(SAMPLE, len(waiting)))
    needed = 0
    for piece, place in sample:
        without = list(piece.commands)
        without[place] = replace(without[place], wait=0)
        if piece.uncovered(place):
            needed += 1
            races = find_races(without, CV183X)
            assert races, f"nothing is said of the wait of {piece.commands[place]}"
    # the others only repeat what an earlier command of the engine waited for
    assert needed > len(sample) // 3


def test_a_routine_without_waits_races(file: CviModelFile) -> None:
    for commands in routines(file):
        if {c.engine for c in commands} == set(Engine):
            assert find_races([replace(c, wait=0) for c in commands], CV183X)


def test_declared_accesses_cover_what_the_simulator_touches(file: CviModelFile) -> None:
    """No command touches a byte of local memory that it does not declare."""
    for commands in routines(file):
        for command, trace in zip(commands, traces(file, commands, CV183X), strict=True):
            declared = accesses(command.instruction, CV183X)
            for touch in trace:
                ranges = declared.writes if touch.writes else declared.reads
                local = [(r.start, r.end) for r in ranges if r.space == LOCAL_MEMORY]
                low, high = _lane_span(touch.start, touch.shape, touch.strides, touch.item)
                assert any(a <= low and high <= b for a, b in local), (command, touch)


def _lane_span(
    start: int, shape: tuple[int, ...], strides: tuple[int, ...], item: int
) -> tuple[int, int]:
    """Offsets [low, high) within a lane; strides from lane to lane do not count."""
    steps = zip(shape, strides, strict=True)
    inside = sum((n - 1) * s for n, s in steps if s != CV183X.lane_bytes)
    low = start % CV183X.lane_bytes
    return low, low + inside + item
