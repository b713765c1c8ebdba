"""Views of tensors in local memory and DRAM."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cvi.errors import RunnerError
from cvi_tpu.isa.operands import Dram, Local, Shape4
from cvi_tpu.sim.memory import LocalMemory, Regions

LANES, LANE = 4, 512


def _memory() -> LocalMemory:
    memory = LocalMemory(LANES, LANE)
    random = np.random.default_rng(0)
    memory.bytes[...] = random.integers(0, 256, memory.bytes.shape)
    return memory


def _place(tensor: Local, n: int, c: int, h: int, w: int) -> tuple[int, int]:
    """Lane and offset by the formula of FACTS_TPU 2.1, element by element."""
    first, offset = divmod(tensor.address, LANE)
    sn, sc, sh, sw = tensor.strides
    group, lane = divmod(first + c, LANES)
    return lane, offset + n * sn + group * sc + h * sh + w * sw


shapes = st.tuples(*(st.integers(1, top) for top in (2, 14, 3, 3)))


@settings(max_examples=60, deadline=None)
@given(shape=shapes, lane=st.integers(0, LANES - 1), offset=st.integers(0, 40))
def test_reading_and_writing_follow_the_formula(shape: Shape4, lane: int, offset: int) -> None:
    memory = _memory()
    tensor = Local(lane * LANE + offset, shape, (80, 16, 4, 1), signed=False)
    values = memory.tensor(tensor)
    new = np.arange(values.size, dtype=np.uint8).reshape(shape)
    want = memory.bytes.copy()
    for at in np.ndindex(*shape):
        place = _place(tensor, *at)
        assert values[at] == memory.bytes[place]
        want[place] = new[at]
    memory.store(tensor, new)
    np.testing.assert_array_equal(memory.bytes, want)


def test_one_group_of_channels_is_a_view() -> None:
    memory = _memory()
    values = memory.tensor(Local(LANE, (1, 3, 2, 2), (16, 16, 2, 1)))
    assert np.shares_memory(values, memory.bytes)


def test_sixteen_bits_lie_in_two_planes() -> None:
    memory = LocalMemory(LANES, LANE)
    tensor = Local(0, (1, 2, 1, 2), (16, 16, 2, 1), signed=True, plane=64)
    memory.store(tensor, np.array([[[[-2, 300]], [[-32768, 32767]]]]))
    assert memory.bytes[0, :2].tolist() == [0xFE, 300 & 0xFF]
    assert memory.bytes[0, 64:66].tolist() == [0xFF, 1]
    np.testing.assert_array_equal(memory.integers(tensor).ravel(), [-2, 300, -32768, 32767])


def test_partial_sums_lie_in_four_planes() -> None:
    memory = LocalMemory(LANES, LANE)
    tensor = Local(0, (1, 1, 1, 2), (16, 16, 2, 1))
    memory.store_words(tensor, 16, np.array([[[[-2, 0x01020304]]]], np.int32))
    assert [int(memory.bytes[0, 16 * k + 1]) for k in range(4)] == [4, 3, 2, 1]
    np.testing.assert_array_equal(memory.words(tensor, 16).ravel(), [-2, 0x01020304])


@pytest.mark.parametrize(
    "tensor",
    [
        Local(LANE - 1, (1, 1, 1, 2), (16, 16, 2, 1)),
        Local(0, (1, 9, 1, 1), (300, 256, 16, 1)),
        Local(0, (2, 1, 1, 1), (LANE, 16, 16, 1)),
        Local(LANES * LANE, (1, 1, 1, 1), (16, 16, 1, 1)),
        Local(0, (1, 0, 1, 1), (16, 16, 1, 1)),
    ],
)
def test_tensors_end_inside_their_lane(tensor: Local) -> None:
    with pytest.raises(RunnerError, match="local memory"):
        _memory().tensor(tensor)


def test_strides_of_zero_do_not_make_gigabytes() -> None:
    with pytest.raises(RunnerError, match="elements"):
        _memory().tensor(Local(0, (4000, 4000, 400, 1), (0, 0, 0, 1)))
    with pytest.raises(RunnerError, match="elements"):
        Regions({0: np.zeros(100, np.uint8)}).view(Dram(0, 0, (4000, 4000, 400, 1), (0, 0, 0)))


def test_dram_views() -> None:
    data = np.arange(200, dtype=np.uint8)
    regions = Regions({3: data})
    tensor = Dram(3, 10, (2, 2, 2, 3), (60, 20, 5), signed=False)
    view = regions.view(tensor)
    assert np.shares_memory(view, data)
    for n, c, h, w in np.ndindex(2, 2, 2, 3):
        assert view[n, c, h, w] == 10 + 60 * n + 20 * c + 5 * h + w


@pytest.mark.parametrize(
    ("region", "address", "message"),
    [(4, 0, "region 4"), (3, 98, "region 3"), (3, -1, "region 3")],
)
def test_dram_accesses_stay_inside(region: int, address: int, message: str) -> None:
    regions = Regions({3: np.zeros(100, np.uint8)})
    with pytest.raises(RunnerError, match=message):
        regions.view(Dram(region, address, (1, 1, 1, 3), (3, 3, 3)))
    with pytest.raises(RunnerError, match=message):
        regions.linear(region, address, 3)
