"""Operands of instructions: tensors in local memory and in DRAM."""

from __future__ import annotations

from dataclasses import dataclass

Shape4 = tuple[int, int, int, int]


def ceil_div(a: int, b: int) -> int:
    return -(-a // b)


def align(value: int, unit: int) -> int:
    """`value` rounded up to a multiple of `unit`."""
    return ceil_div(value, unit) * unit


@dataclass(frozen=True)
class Local:
    """A tensor (n, c, h, w) in local memory (FACTS_TPU 2.1).

    Element (n, c, h, w) lies in lane (L0 + c) mod lanes at byte
    O + n*sn + ((L0 + c) div lanes)*sc + h*sh + w*sw, where address = L0 * lane_bytes + O
    and strides = (sn, sc, sh, sw) in bytes.
    signed: meaning of 8-bit and 16-bit elements. bf16: two-byte elements.
    plane: 0 for 8-bit and BF16; for 16-bit integers the distance in bytes from the low
    byte plane to the high byte plane.
    """

    address: int
    shape: Shape4
    strides: Shape4
    signed: bool = True
    bf16: bool = False
    plane: int = 0

    @property
    def element_bytes(self) -> int:
        return 2 if self.bf16 else 1


def local_strides(
    shape: Shape4,
    lanes: int,
    *,
    element_bytes: int = 1,
    aligned: bool = True,
    unit: int = 16,
    lane: int = 0,
) -> Shape4:
    """Default strides of a local tensor (FACTS_TPU 2.1).

    aligned: channels start at multiples of `unit` bytes. lane: where the tensor starts; the
    n stride covers all groups that the busiest lane holds (measured).
    """
    _, c, h, w = shape
    plane = h * w * element_bytes
    sc = align(plane, unit) if aligned else plane
    return (sc * ceil_div(lane + c, lanes), sc, w * element_bytes, element_bytes)


@dataclass(frozen=True)
class Matrix:
    """A matrix (rows, columns) in local memory (FACTS_TPU 2.2).

    Columns are cut into `c` pieces of width `w`, piece i in lane L0 + i; strides = (row,
    piece group) in bytes. The last piece may be partial.
    """

    address: int
    rows: int
    columns: int
    c: int
    w: int
    strides: tuple[int, int]
    signed: bool = True
    bf16: bool = False

    @property
    def element_bytes(self) -> int:
        return 2 if self.bf16 else 1


@dataclass(frozen=True)
class Dram:
    """A tensor (n, c, h, w) in DRAM: byte address inside a memory region.

    region: base register 0..7 (0 shared, 1 weight, 2 private, 3..7 io).
    strides: bytes for n, c and h; w is always contiguous.
    """

    region: int
    address: int
    shape: Shape4
    strides: tuple[int, int, int]
    signed: bool = True
    bf16: bool = False

    @property
    def element_bytes(self) -> int:
        return 2 if self.bf16 else 1


def dense(shape: Shape4, element_bytes: int = 1) -> tuple[int, int, int]:
    """Strides (n, c, h) in bytes of a contiguous DRAM tensor."""
    _, c, h, w = shape
    return (c * h * w * element_bytes, h * w * element_bytes, w * element_bytes)


def dram_matrix(
    region: int,
    address: int,
    rows: int,
    columns: int,
    *,
    row_stride: int | None = None,
    signed: bool = True,
    bf16: bool = False,
) -> Dram:
    """The DRAM side of a matrix copy: shape (1, rows, 1, columns); row_stride in bytes,
    contiguous when None."""
    width = columns * (2 if bf16 else 1)
    stride = width if row_stride is None else row_stride
    strides = (rows * stride, stride, width)
    return Dram(region, address, (1, rows, 1, columns), strides, signed, bf16)
