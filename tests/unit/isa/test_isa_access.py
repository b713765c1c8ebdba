"""Access ranges hold every byte that an instruction touches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chips import each_chip
from cvi_chip_cv183x.spec import CV183X
from cvi_tpu.chip import ChipSpec
from cvi_tpu.isa.access import LOCAL_MEMORY, Range, accesses
from cvi_tpu.isa.geometry import local_span, stream_bound
from cvi_tpu.isa.instructions import (
    Arith,
    ArithOp,
    Const,
    Conv,
    Copy,
    Instruction,
    LinearCopy,
    Quant,
    Window,
)
from cvi_tpu.isa.operands import Dram, Local, dense, local_strides
from isa_strategies import instructions, lanes, shapes, tensor
from isa_vectors import has_wrong_size, tdma_instructions, tiu_instruction, vectors


def offsets(tensor: Local, lanes: int, lane_bytes: int) -> np.ndarray:
    """Offset of every byte of a tensor, by the formula of FACTS_TPU 2.1."""
    n, c, h, w = np.ogrid[tuple(slice(size) for size in tensor.shape)]
    sn, sc, sh, sw = tensor.strides
    lane = tensor.address // lane_bytes
    first = tensor.address % lane_bytes + n * sn + (lane + c) // lanes * sc + h * sh + w * sw
    return np.add.outer(first.ravel(), np.arange(tensor.element_bytes)).ravel()


@settings(max_examples=200, deadline=None)
@given(data=st.data(), bf16=st.booleans())
def test_the_span_of_a_tensor_is_exact(data: st.DataObject, bf16: bool) -> None:
    shape, lane = data.draw(shapes(CV183X)), data.draw(lanes(CV183X))
    made = tensor(data.draw, CV183X, shape, lane, bf16=bf16)
    touched = offsets(made, CV183X.lanes, CV183X.lane_bytes)
    assert local_span(made, CV183X) == (touched.min(), touched.max() + 1)


@settings(max_examples=300, deadline=None)
@given(instruction=instructions(CV183X))
def test_ranges_are_inside_memory_and_not_empty(instruction: Instruction) -> None:
    touched = accesses(instruction, CV183X)
    assert touched.writes
    for place in touched.reads + touched.writes:
        assert 0 <= place.start < place.end
        if place.space == LOCAL_MEMORY:
            assert place.end <= CV183X.lane_bytes
        else:
            assert 0 <= place.space <= 7


def _covered(ranges: tuple[Range, ...], space: int, touched: np.ndarray) -> bool:
    inside = np.zeros(len(touched), bool)
    for place in ranges:
        if place.space == space:
            inside |= (touched >= place.start) & (touched < place.end)
    return bool(inside.all())


@each_chip
def test_all_bytes_that_tiu_instructions_changed_are_writes(shared: Path, spec: ChipSpec) -> None:
    words = np.load(shared / "golden" / f"tiu_{spec.name}.npz")
    for case, _ in vectors(shared, "tiu", spec.name):
        touched = accesses(tiu_instruction(case, spec), spec)
        changed = words[case["key"] + "_changed_at"].astype(int)
        assert len(changed)
        assert _covered(touched.writes, LOCAL_MEMORY, changed[:, 1]), case["key"]


@each_chip
def test_all_bytes_that_tdma_instructions_changed_are_writes(shared: Path, spec: ChipSpec) -> None:
    words = np.load(shared / "golden" / f"tdma_{spec.name}.npz")
    seen = 0
    for case, _ in vectors(shared, "tdma", spec.name):
        if has_wrong_size(case["key"], spec.name):
            continue
        made = tdma_instructions(case, spec)
        writes = tuple(w for i in made for w in accesses(i, spec).writes)
        local = words[case["key"] + "_l_at"].astype(int)
        assert not len(local) or _covered(writes, LOCAL_MEMORY, local[:, 1]), case["key"]
        for region in {w.space for w in writes if w.space != LOCAL_MEMORY}:
            start = case["gmem_window_addr"] - case["base_regs"][region]
            changed = words[case["key"] + "_g_at"].astype(int) + start
            assert len(changed) and _covered(writes, region, changed), case["key"]
            seen += 1
    assert seen > 5


# -- operands that are easily forgotten -------------------------------------


def vector(offset: int, *, plane: int = 0, bf16: bool = False) -> Local:
    shape = (1, 8, 1, 4)
    strides = local_strides(shape, 32, element_bytes=2 if bf16 else 1)
    return Local(offset, shape, strides, True, bf16, plane)


def local(start: int, end: int) -> Range:
    return Range(LOCAL_MEMORY, start, end)


def test_a_mac_reads_both_planes_of_its_result() -> None:
    mac = Arith(op=ArithOp.MAC, result=vector(0, plane=64), left=vector(256), right=Const(2, True))
    touched = accesses(mac, CV183X)
    assert set(touched.reads) == {local(0, 4), local(64, 68), local(256, 260)}
    assert touched.writes == (local(0, 4), local(64, 68))


def test_a_narrow_mac_writes_the_low_plane_only() -> None:
    mac = Arith(
        op=ArithOp.MAC,
        result=vector(0, plane=64),
        left=vector(256),
        right=Const(2, True),
        narrow=True,
    )
    assert accesses(mac, CV183X).writes == (local(0, 4),)


@pytest.mark.parametrize(
    ("partial", "reads_sums", "written"), [(0, False, 16), (1, True, 16), (2, False, 64)]
)
def test_partial_sums_are_four_planes(partial: int, reads_sums: bool, written: int) -> None:
    shape = (1, 8, 4, 4)
    made = Local(0x1000, shape, local_strides(shape, 32))
    conv = Conv(
        result=made,
        input=Local(0, shape, local_strides(shape, 32)),
        weight=0x2000,
        window=Window(kernel=(1, 1)),
        quant=Quant(bias=not partial & 2, records=0 if partial & 2 else 0x3000),
        partial=partial,
        partial_plane=16 if partial else 0,
    )
    touched = accesses(conv, CV183X)
    assert touched.writes == (local(0x1000, 0x1000 + written),)
    assert (local(0x1000, 0x1040) in touched.reads) == reads_sums
    assert (local(0x3000, 0x3002) in touched.reads) == (not partial & 2)
    assert local(0x2000, 0x2008) in touched.reads


def test_a_linear_copy_over_a_lane_end_touches_whole_lanes() -> None:
    shape = (1, 1, 1, 100)
    far = Dram(0, 0, shape, dense(shape), False)
    inside = LinearCopy(source=far, target=32668, size=100)
    across = LinearCopy(source=far, target=32669, size=100)
    assert accesses(inside, CV183X).writes == (local(32668, 32768),)
    assert accesses(across, CV183X).writes == (local(0, 32768),)


def test_interleaved_pixels_are_read_to_their_end() -> None:
    from cvi_tpu.isa.instructions import Transpose

    far = Dram(3, 0, (1, 3, 2, 5), (30, 1, 15), False)
    near = Local(0, (1, 3, 2, 5), (16, 16, 5, 1), False)
    copy = Copy(source=far, target=near, transpose=Transpose.HWC3)
    assert accesses(copy, CV183X).reads == (Range(3, 0, 30),)


def test_a_compressed_stream_may_be_longer_than_its_data() -> None:
    assert stream_bound(1, 1) == 16 + 16 + 16
    assert stream_bound(33 * 16, 2) == 16 + 48 + 33 * 32
