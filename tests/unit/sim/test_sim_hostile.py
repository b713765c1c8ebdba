"""Instructions that no compiler makes: huge operands out of strides of 0, huge windows.

Each runs or is refused; a gigabyte of memory is enough for either.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest

from cvi.errors import CviError
from cvi_chip_cv183x.spec import CV183X
from cvi_tpu.isa.instructions import (
    Arith,
    ArithOp,
    Conv,
    Copy,
    Depthwise,
    Fill,
    Instruction,
    Lut,
    MatMul,
    Mdsum,
    Pool,
    PoolOp,
    Quant,
    Transpose,
    Window,
)
from cvi_tpu.isa.operands import Dram, Local, Matrix, Shape4
from cvi_tpu.sim.machine import Machine
from cvi_tpu.sim.memory import Regions

BYTES = 1 << 30
SECONDS = 10.0
REGION = 1 << 20

SHAPES: list[Shape4] = [
    (4095, 4095, 4095, 4095),
    (1, 1, 4095, 4095),
    (1, 32, 4095, 2047),
    (255, 32, 255, 127),
    (64, 64, 64, 63),
    (1, 4095, 60, 60),
]


def repeated(shape: Shape4, *, bf16: bool = False, plane: int = 0) -> Local:
    """A tensor that is one element, again and again."""
    return Local(0, shape, (0, 0, 0, 0), bf16=bf16, plane=plane)


def ariths(shape: Shape4) -> Iterator[Instruction]:
    for bf16 in (False, True):
        x = repeated(shape, bf16=bf16)
        for op in (ArithOp.MUL, ArithOp.MAX, ArithOp.COPY):
            right = None if op is ArithOp.COPY else x
            yield Arith(op=op, result=x, left=x, right=right, rounding=op is ArithOp.MUL)
        yield Lut(result=x, input=x, table=0)
    wide = repeated(shape, plane=16)
    yield Arith(op=ArithOp.MAC, result=wide, left=repeated(shape), right=repeated(shape))
    scaled = repeated(shape)
    yield Arith(op=ArithOp.MUL, result=scaled, left=scaled, right=scaled, multiplier=3, shift=2)
    yield Mdsum(result=repeated((1, shape[1], 1, 1)), input=repeated(shape))


def windows(shape: Shape4) -> Iterator[Instruction]:
    n, c, h, w = shape
    for kernel, insert in (((1, 1), (0, 0)), ((15, 15), (0, 0)), ((15, 15), (14, 14))):
        window = Window(kernel=kernel, insert=insert)
        high, wide = (
            (s - 1) * (i + 1) + 2 - k for s, i, k in zip((h, w), insert, kernel, strict=True)
        )
        if min(high, wide) < 1:
            continue
        for bf16 in (False, True):
            x = repeated(shape, bf16=bf16)
            y = repeated((n, c, high, wide), bf16=bf16)
            for kind in (PoolOp.MAX, PoolOp.AVG):
                yield Pool(op=kind, result=y, input=x, window=window, multiplier=1)
            yield Depthwise(result=y, input=x, weight=0, window=window)
            few = repeated((n, 32, high, wide), bf16=bf16)
            yield Conv(result=few, input=x, weight=0, window=window)
        quant = Quant(per_channel=True, bias=True)
        yield Conv(result=repeated((n, 32, high, wide)), input=repeated(shape), weight=0,
                   window=window, quant=quant)  # fmt: skip


def moves(shape: Shape4) -> Iterator[Instruction]:
    for bf16 in (False, True):
        near = repeated(shape, bf16=bf16)
        far = Dram(0, 0, shape, (0, 0, 0), bf16=bf16)
        yield Copy(source=far, target=near)
        yield Copy(source=near, target=far)
        yield Copy(source=far, target=far, transpose=Transpose.NC)
        yield Copy(source=far, target=repeated(shape, bf16=not bf16))
        yield Copy(source=far, target=Dram(0, 0, shape, (0, 0, 0), bf16=not bf16))
        yield Copy(source=near, target=near, compressed=True)
        yield Copy(source=far, target=near, compressed=True)
        yield Fill(target=near, value=1)
        yield Fill(target=far, value=1)


def matrices() -> Iterator[Instruction]:
    for rows, depth, pieces in ((4095, 4095, 1), (4095, 1, 4095), (1, 4095, 4095), (64, 4095, 9)):
        for bf16 in (False, True):
            left = Matrix(0, rows, depth, 1, depth, (0, 0), bf16=bf16)
            right = Matrix(0, depth, pieces * 4095, pieces, 4095, (0, 0), bf16=bf16)
            result = Matrix(0, rows, pieces * 4095, pieces, 4095, (0, 0), bf16=bf16)
            yield MatMul(result=result, left=left, right=right)


def every() -> list[Instruction]:
    made = [i for shape in SHAPES for kind in (ariths, windows, moves) for i in kind(shape)]
    return [*made, *matrices()]


@pytest.mark.slow
def test_huge_operands_are_refused_or_fit_into_a_gigabyte() -> None:
    dram = Regions({0: np.zeros(REGION, np.uint8)})
    machine = Machine(CV183X, dram)
    refused, wrong = 0, []
    tracemalloc.start()
    for instruction in every():
        tracemalloc.reset_peak()
        start = time.process_time()
        try:
            machine.execute(instruction)
        except CviError as error:
            assert error.why and error.where
            refused += 1
        seconds, peak = time.process_time() - start, tracemalloc.get_traced_memory()[1]
        if seconds > SECONDS or peak > BYTES:
            wrong.append(f"{seconds:.1f} s, {peak >> 20} MiB: {instruction}")
    tracemalloc.stop()
    assert not wrong, "\n".join(wrong)
    assert refused
