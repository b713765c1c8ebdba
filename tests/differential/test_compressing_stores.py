"""Stores that compress, against the vendor's simulator: every byte of the streams."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from local_programs import Bytes, save, single_routine_file, whole

from chips import CHIPS, each_chip
from cvi_runner_vendor.runner import VendorRunner
from cvi_tpu.chip import ChipSpec
from cvi_tpu.isa.geometry import stream_bound
from cvi_tpu.isa.instructions import Copy, MatrixCopy
from cvi_tpu.isa.operands import (
    Dram,
    Local,
    Matrix,
    Shape4,
    align,
    dense,
    dram_matrix,
    local_strides,
)
from cvi_tpu.isa.program import Program
from cvi_tpu.isa.stream import cmdbuf
from cvi_tpu.model import read
from cvi_tpu.runtime import Runtime
from vendor_here import needs_vendor

COUNT = 40


class Stores:
    """Random stores into one region, one behind the other."""

    def __init__(self, spec: ChipSpec, seed: int) -> None:
        self.spec, self.rng, self.end = spec, np.random.default_rng(seed), 0

    def number(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high + 1))

    def place(self, count: int, element_bytes: int) -> int:
        start = self.end
        self.end += align(stream_bound(count, element_bytes), 64)
        return start

    def codec(self, bf16: bool) -> dict[str, object]:
        """The vendor's simulator asserts these biases."""
        guard = bf16 and bool(self.rng.random() < 0.5)
        return {"compressed": True, "bias0": 127 if bf16 else 0, "zero_guard": guard}

    def tensor(self) -> Copy:
        shape: Shape4 = (
            self.number(1, 2), self.number(1, self.spec.lanes + 5), self.number(1, 6),
            self.number(1, 9),
        )  # fmt: skip
        bf16 = bool(self.rng.random() < 0.5)
        size = 2 if bf16 else 1
        signed = bf16 or bool(self.rng.random() < 0.7)
        strides = local_strides(shape, self.spec.lanes, element_bytes=size)
        local = Local(16 * self.number(0, 400), shape, strides, signed, bf16)
        start = self.place(int(np.prod(shape)), size)
        target = Dram(4, start, shape, dense(shape, size), signed, bf16)
        return Copy(source=local, target=target, **self.codec(bf16))  # type: ignore[arg-type]

    def matrix(self) -> MatrixCopy:
        rows, c, w = self.number(1, 9), self.number(1, self.spec.lanes), self.number(1, 20)
        columns = w * (c - 1) + self.number(1, w)
        bf16 = bool(self.rng.random() < 0.5)
        size = 2 if bf16 else 1
        signed = bf16 or bool(self.rng.random() < 0.7)
        row = align(w * size, self.spec.eu_bytes)
        local = Matrix(
            16 * self.number(0, 400), rows, columns, c, w, (row, row * rows), signed, bf16
        )
        start = self.place(rows * columns, size)
        target = dram_matrix(
            4, start, rows, columns, row_stride=columns * size, signed=signed, bf16=bf16
        )
        return MatrixCopy(source=local, target=target, **self.codec(bf16))  # type: ignore[arg-type]

    def some(self, count: int) -> Iterator[Copy | MatrixCopy]:
        for _ in range(count):
            yield self.tensor() if self.rng.random() < 0.6 else self.matrix()


def memory(spec: ChipSpec, seed: int) -> Bytes:
    """Bytes of which some places compress well and others do not, and numbers near 1 in
    BF16."""
    rng = np.random.default_rng(seed)
    shape = whole(spec)
    spread = rng.choice([0.3, 2, 10, 80], (1, shape[1], 1, shape[3] // 64)).repeat(64, axis=3)
    values = np.clip(rng.laplace(0, spread), -128, 127).astype(np.int8)
    numbers = rng.normal(0, spread[..., ::2]).astype(np.float32).view(np.uint32) >> 16
    numbers = np.where(rng.random(numbers.shape) < 0.2, 0, numbers).astype(np.uint16).view(np.int8)
    return np.where(rng.random((1, shape[1], 1, 1)) < 0.5, values, numbers.reshape(shape))


def both(spec: ChipSpec, seed: int, folder: Path, count: int) -> tuple[Bytes, Bytes]:
    """DRAM after the stores: ours and theirs."""
    shape, lane = whole(spec), spec.lane_bytes
    stores, program = Stores(spec, seed), Program(spec)
    everything = Local(0, shape, (lane, lane, lane, 1))
    program.emit(Copy(source=Dram(3, 0, shape, dense(shape)), target=everything))
    for store in stores.some(count):
        program.emit(store)
    out = (1, 1, 1, stores.end)
    data = single_routine_file(cmdbuf(program.commands(), spec), shape, out, spec.name)
    feeds = {"in": memory(spec, seed)}
    ours = Runtime(read(data), spec=spec).run(feeds)["out"]
    theirs = VendorRunner().run(save(folder, data), feeds, timeout=60)["out"]
    return ours, theirs


@needs_vendor
@pytest.mark.vendor
@each_chip
def test_streams(spec: ChipSpec, tmp_path: Path) -> None:
    ours, theirs = both(spec, CHIPS.index(spec), tmp_path, COUNT)
    np.testing.assert_array_equal(ours, theirs)
    assert np.count_nonzero(theirs) > theirs.size // 8
