"""Movement ops, compiled and run, give the bytes that the ops define."""

from __future__ import annotations

import pytest
from drawn import drawn
from movement_cases import MOVEMENT, side_by_side
from program_runs import check_program

from chips import each_chip
from cvi.ir import DType, Op, TensorType
from cvi.ops import Concat, Pad, Permute, Reshape, Slice, Tile
from cvi_chip_cv183x.spec import CV183X
from cvi_tpu.chip import ChipSpec
from cvi_tpu.codegen.compile import compile_with_report
from cvi_tpu.cost import schedule
from vendor_here import needs_vendor

BATCH = 12


@needs_vendor
@pytest.mark.vendor
@each_chip
@pytest.mark.parametrize("lane_bytes", [None, 2048])
@pytest.mark.parametrize("kind", MOVEMENT)
def test_vendor_moves_as_the_op_says(kind: str, lane_bytes: int | None, spec: ChipSpec) -> None:
    thorough = 9 if lane_bytes is None else 3
    count = BATCH * (thorough if spec is CV183X else 1)
    for seed, cases in enumerate(drawn(MOVEMENT[kind], count, BATCH)):
        graph, feeds = side_by_side(cases, seed)
        check_program(graph, feeds, spec=spec, lane_bytes=lane_bytes, vendor=True)


@each_chip
@pytest.mark.parametrize("kind", MOVEMENT)
def test_simulator_moves_as_the_op_says(kind: str, spec: ChipSpec) -> None:
    count = 25 if spec is CV183X else 5
    for seed, cases in enumerate(drawn(MOVEMENT[kind], count, 1)):
        graph, feeds = side_by_side(cases, seed)
        check_program(graph, feeds, spec=spec, lane_bytes=(None, 2048)[seed % 2])


def long(*shape: int) -> TensorType:
    return TensorType(shape, DType.INT8, 0.5)


LARGE = [
    ([long(131_071)], Reshape(name="y", shape=(131_071, 1))),
    ([long(150_528)], Reshape(name="y", shape=(3, 224, 224))),
    ([long(70_001, 3)], Permute(name="y", order=(1, 0))),
    ([long(3, 70_001)], Permute(name="y", order=(1, 0))),
    ([long(2, 65_537, 2)], Permute(name="y", order=(2, 1, 0))),
    ([long(200_000)], Slice(name="y", starts=(1,), sizes=(66_000,), steps=(3,))),
    ([long(300, 300, 2)], Slice(name="y", starts=(0, 0, 1), sizes=(300, 300, 1), steps=(1,) * 3)),
    ([long(2, 90_000)], Concat(name="y", axis=1)),
    ([long(1, 70_000)], Tile(name="y", repeats=(3, 2))),
    ([long(1, 1, 2, 70_000)], Pad(name="y", before=(0, 1, 1, 1), after=(0, 0, 0, 2))),
    ([long(5, 1, 70_000)], Permute(name="y", order=(2, 1, 0))),
    ([long(1, 3, 300, 300)], Permute(name="y", order=(0, 2, 3, 1))),
    ([long(1, 300, 300, 3)], Permute(name="y", order=(0, 3, 1, 2))),
]


@needs_vendor
@pytest.mark.vendor
@each_chip
def test_vendor_moves_large_tensors(spec: ChipSpec) -> None:
    graph, feeds = side_by_side(LARGE, 5)
    check_program(graph, feeds, spec=spec, vendor=True)


@pytest.mark.parametrize(
    ("case", "most"),
    [
        (([long(1, 255, 52, 52)], Permute(name="y", order=(0, 2, 3, 1))), 1.1),
        (([long(1, 224, 224, 3)], Permute(name="y", order=(0, 3, 1, 2))), 1.2),
        (([long(1, 2, 58, 28, 28)], Permute(name="y", order=(0, 2, 1, 3, 4))), 1.05),
        (([long(1, 64, 112, 112)], Reshape(name="y", shape=(64, 112 * 112))), 1.05),
        (([long(1, 64, 56, 56)], Pad(name="y", before=(0, 0, 1, 1), after=(0, 0, 1, 1))), 1.5),
    ],
)
def test_movement_costs_little_more_than_a_plain_copy(
    case: tuple[list[TensorType], Op], most: float
) -> None:
    graph, _ = side_by_side([case], 0)
    compiled = compile_with_report(graph, CV183X)
    cycles = sum(schedule(commands, CV183X).makespan for commands in compiled.commands)
    beats = (graph.ops[0].type.bytes + graph["y0"].type.bytes) / 16
    assert cycles < most * 1.66 * beats
