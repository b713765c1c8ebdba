"""Memory assignment: nothing that lives at the same time shares a byte."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvi.ir import DType, Graph, Input, TensorType
from cvi_tpu.codegen.aliases import find_aliases, free_ops
from cvi_tpu.codegen.memory import (
    ALIGN,
    FIRST_IO,
    HEAP,
    PRIVATE,
    SHARED,
    Block,
    Memory,
    assign,
    fit,
)
from cvi_tpu.codegen.partition import partition
from cvi_tpu.quantized.ops import CpuSoftmax, Dequantize, Int8Clip


@st.composite
def blocks(draw: st.DrawFn) -> list[Block]:
    found = []
    for i in range(draw(st.integers(1, 25))):
        first = draw(st.integers(0, 30))
        last = first + draw(st.integers(0, 10))
        found.append(Block(f"b{i}", draw(st.integers(1, 1000)), first, last))
    return found


@given(blocks(), st.booleans())
def test_no_two_living_blocks_meet(found: list[Block], best: bool) -> None:
    total, addresses = fit(found, best=best)
    for block in found:
        block.region, block.address = SHARED, addresses[block.name]
        assert block.address % ALIGN == 0
        assert block.address + block.size <= total
    for i, one in enumerate(found):
        for other in found[:i]:
            assert not (one.meets(other) and one.overlaps(other))


@given(blocks())
def test_total_is_at_least_the_peak(found: list[Block]) -> None:
    total, _ = fit(found, best=True)
    peak = max(sum(b.size for b in found if b.first <= t <= b.last) for t in range(41))
    assert total >= peak


def test_memory_of_the_dead_is_reused() -> None:
    chain = [Block(f"b{i}", 640, i, i + 1) for i in range(10)]
    assert fit(chain, best=True)[0] == 1280


def test_best_fit_takes_the_tightest_gap() -> None:
    fixed = [Block("a", 256, 0, 9), Block("b", 640, 0, 1), Block("c", 64, 0, 9)]
    fixed += [Block("d", 128, 0, 1), Block("e", 64, 0, 9)]
    total, addresses = fit([*fixed, Block("late", 128, 5, 6)], best=True)
    assert addresses["late"] == addresses["d"]
    assert total == fit(fixed, best=True)[0]


def planned(graph: Graph, *, keep: bool = False) -> Memory:
    placed = find_aliases(graph, share=not keep)
    free = free_ops(graph, placed)
    return assign(graph, placed, partition(graph, free), free, keep=keep)


def chain(length: int, inputs: int = 1) -> Graph:
    """Clips one after the other; every input is clipped first."""
    graph = Graph("chain")
    type = TensorType((1, 1, 10, 100), DType.INT8, 1.0)
    for i in range(inputs):
        graph.add(Input(name=f"x{i}", type=type))
    last = "x0"
    for i in range(length):
        op = Int8Clip(name=f"c{i}", inputs=(last,), minimum=0, maximum=9, out_scale=1.0)
        last = graph.add(op).name
    graph.outputs = (last,)
    return graph


def test_inputs_and_outputs_get_io_regions_in_order() -> None:
    memory = planned(chain(3, inputs=3))
    assert [memory.views[n].region for n in ("x0", "x1", "x2", "c2")] == [3, 4, 5, 6]
    assert all(memory.views[n].address == 0 for n in ("x0", "x1", "x2", "c2"))


def test_there_are_only_five_io_regions() -> None:
    memory = planned(chain(2, inputs=7))
    regions = [memory.views[f"x{i}"].region for i in range(7)]
    assert regions == [3, 4, 5, 6, 7, PRIVATE, PRIVATE]
    assert memory.views["c1"].region == PRIVATE
    spots = {memory.views[n].address for n in ("x5", "x6", "c1")}
    assert len(spots) == 3


def test_inner_values_share_and_are_flagged() -> None:
    memory = planned(chain(6))
    assert memory.shared_bytes == 2 * 1024
    assert memory.private_bytes == 0
    assert memory.io_bytes == 2000
    assert memory.overwritten == {"c0", "c1", "c2"}


def test_kept_tensors_are_never_overwritten() -> None:
    memory = planned(chain(6), keep=True)
    assert not memory.overwritten
    assert memory.shared_bytes == 0
    assert memory.private_bytes == 5 * 1024


def softmax_graph() -> Graph:
    graph = Graph("cpu")
    graph.add(Input(name="x", type=TensorType((1, 10), DType.INT8, 1.0)))
    graph.add(Int8Clip(name="c", inputs=("x",), minimum=0, maximum=9, out_scale=1.0))
    graph.add(Dequantize(name="d", inputs=("c",), scale=1.0))
    graph.add(CpuSoftmax(name="s", inputs=("d",), axis=1))
    graph.outputs = ("s",)
    return graph


def test_values_between_routines() -> None:
    memory = planned(softmax_graph())
    assert memory.views["c"].region == PRIVATE
    assert memory.views["d"].region == HEAP
    assert memory.views["s"].region == FIRST_IO + 1


def test_blocks_of_outputs_live_to_the_end() -> None:
    block = Block("out", 64)
    block.touch(3)
    block.touch(inf)
    assert block.meets(Block("later", 64, 100, 101))
    assert not block.meets(Block("earlier", 64, 0, 2))


@pytest.mark.parametrize("size", [1, 64, 65])
def test_addresses_are_aligned(size: int) -> None:
    found = [Block("a", size, 0, 5), Block("b", 10, 0, 5)]
    assert fit(found, best=False)[1]["b"] == (64 if size <= 64 else 128)
