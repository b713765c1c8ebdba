"""The instructions of the two engines as typed classes.

What an instruction does is in its attributes; how they sit in the bits of one chip's
descriptor is in the tables of `layout.py` and the chip plugins. Meaning: FACTS_TPU 3
(TIU) and 4 (TDMA). Synchronisation ids are not part of an instruction: `Program` adds
them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from cvi_tpu.isa.operands import Dram, Local, Matrix

Pair = tuple[int, int]
Pads = tuple[int, int, int, int]


class Engine(Enum):
    """Who executes an instruction; the value is the engine id in a command header."""

    TIU = 0
    TDMA = 2


@dataclass(frozen=True, kw_only=True)
class Instruction:
    """Base of all instructions. layer: number of the layer it belongs to."""

    layer: int = 0


@dataclass(frozen=True, kw_only=True)
class Tiu(Instruction):
    """Base of the compute instructions."""


@dataclass(frozen=True, kw_only=True)
class Tdma(Instruction):
    """Base of the data movement instructions."""


# -- TIU -------------------------------------------------------------------


class ArithOp(Enum):
    """Tensor arithmetic; the value is the sub-operation number (FACTS_TPU 3.4)."""

    MUL = 0
    MAC = 1
    ADD = 2
    SUB = 3
    MAX = 4
    MIN = 5
    SHIFT = 6
    AND = 7
    OR = 8
    XOR = 9
    COPY = 10
    GE = 11


@dataclass(frozen=True)
class Const:
    """A constant operand: an integer, or a BF16 bit pattern for BF16 instructions."""

    value: int
    signed: bool = True


@dataclass(frozen=True, kw_only=True)
class Arith(Tiu):
    """Tensor arithmetic (FACTS_TPU 3.4): all tensors have the result's shape.

    right: None for COPY. shift: right shift of the result; left_shift: of MAC's addend.
    multiplier: 32-bit multiplier for requantising MUL (QDM with `shift`), else None.
    rounding: round half up (True) or truncate; SHIFT needs False.
    narrow: MAC with integers reads its addend from both planes of the result and writes
    both, or with `narrow` an 8-bit result to the low one.
    """

    op: ArithOp
    result: Local
    left: Local
    right: Local | Const | None = None
    shift: int = 0
    left_shift: int = 0
    multiplier: int | None = None
    relu: bool = False
    rounding: bool = True
    narrow: bool = False


@dataclass(frozen=True, kw_only=True)
class Lut(Tiu):
    """Table lookup (FACTS_TPU 3.8). table: offset in every lane of 256 entries
    (one byte each, or two for BF16)."""

    result: Local
    input: Local
    table: int


@dataclass(frozen=True, kw_only=True)
class Mdsum(Tiu):
    """Per-channel sum over n, h and w, shifted and saturated (CV183x only)."""

    result: Local
    input: Local
    shift: int = 0


@dataclass(frozen=True, kw_only=True)
class Window:
    """How a kernel window walks over an input (FACTS_TPU 3.5).

    pads: (top, left, bottom, right). insert: rows, columns of `fill` between neighbours.
    insert_last: rows, columns of `fill` after the last one. fill: signed or unsigned
    integer as the input is, or a BF16 bit pattern.
    """

    kernel: Pair
    stride: Pair = (1, 1)
    dilation: Pair = (1, 1)
    pads: Pads = (0, 0, 0, 0)
    insert: Pair = (0, 0)
    insert_last: Pair = (0, 0)
    fill: int = 0


@dataclass(frozen=True, kw_only=True)
class Quant:
    """How accumulators become results.

    Per channel (`per_channel`): `records` is the address of the packed records
    (FACTS_TPU 2.3) of 9 bytes with `bias`, 5 without. Per tensor: right `shift`, and with
    `bias` the address `records` of a 16-bit (BF16: fp32) bias in two planes.
    """

    per_channel: bool = False
    bias: bool = False
    bias_signed: bool = True
    records: int = 0
    shift: int = 0
    relu: bool = False


@dataclass(frozen=True, kw_only=True)
class Conv(Tiu):
    """Convolution (FACTS_TPU 3.5).

    weight: local address of (oc, kh*kw, ic) per lane, or a Const for all weights.
    partial: 0 none, 1 start from stored 32-bit partial sums and finish, 2 store partial
    sums, 3 read and store. partial_plane: distance of the partial sum planes in bytes.
    """

    result: Local
    input: Local
    weight: int | Const
    window: Window
    quant: Quant = Quant()
    weight_signed: bool = True
    partial: int = 0
    partial_plane: int = 0


class PoolOp(Enum):
    """Sub-operation numbers of pooling (FACTS_TPU 3.6)."""

    MAX = 0
    AVG = 1
    MIN = 3


@dataclass(frozen=True, kw_only=True)
class Pool(Tiu):
    """Pooling (FACTS_TPU 3.6). AVG: sum * multiplier, right-shifted by `shift`; the
    multiplier is an unsigned byte (BF16: a bit pattern)."""

    op: PoolOp
    result: Local
    input: Local
    window: Window
    multiplier: int = 0
    shift: int = 0


@dataclass(frozen=True, kw_only=True)
class Depthwise(Tiu):
    """Depthwise convolution (FACTS_TPU 3.6). weight: local address of aligned
    (1, c, kh, kw), or a Const."""

    result: Local
    input: Local
    weight: int | Const
    window: Window
    quant: Quant = Quant()
    weight_signed: bool = True
    partial: int = 0
    partial_plane: int = 0


@dataclass(frozen=True, kw_only=True)
class MatMul(Tiu):
    """result[M, N] = left[M, K] x right[K, N] (FACTS_TPU 3.7).

    multiplier: QDM with `shift` and the 32-bit bias in four planes; None: per tensor with
    `shift` and a 16-bit bias in two planes. bias: local address, None without.
    wide: 16-bit result in two planes. add_result: add the 16-bit result << left_shift.
    partial: as in Conv.
    """

    result: Matrix
    left: Matrix
    right: Matrix | Const
    bias: int | None = None
    bias_signed: bool = True
    multiplier: int | None = None
    shift: int = 0
    left_shift: int = 0
    relu: bool = False
    wide: bool = False
    add_result: bool = False
    partial: int = 0
    partial_plane: int = 0


# -- TDMA ------------------------------------------------------------------


class Transpose(Enum):
    """Reordering during a tensor copy (FACTS_TPU 4.2); the value is transpose_md."""

    NC = 0
    HWC3 = 1
    HWC4 = 2
    CW = 3


@dataclass(frozen=True, kw_only=True)
class Copy(Tdma):
    """Tensor copy in any direction, given by the kinds of the operands.

    Elements are read in (n, c, h, w) order of the source and written in that order of
    the destination; the shapes may differ when their element counts are equal (n equal).
    transpose: reorder on the way. int8_round_zero: BF16 to 8-bit rounds toward zero.
    compressed: the DRAM side is a VLC stream (FACTS_TPU 4.5, 6).
    lut_index, lut_base: table helper moves (FACTS_TPU 4.6).
    """

    source: Local | Dram
    target: Local | Dram
    transpose: Transpose | None = None
    int8_round_zero: bool = False
    compressed: bool = False
    zero_guard: bool = False
    bias0: int = 0
    bias1: int = 0
    lut_index: bool = False
    lut_base: bool = False


@dataclass(frozen=True, kw_only=True)
class Fill(Tdma):
    """Fill a tensor with a constant byte (or BF16 bit pattern)."""

    target: Local | Dram
    value: int


@dataclass(frozen=True, kw_only=True)
class MatrixCopy(Tdma):
    """Matrix between DRAM and local memory. The DRAM side is a Dram of shape
    (1, rows, 1, columns) whose c stride is the row stride; transposed: the local matrix
    is the transpose of the DRAM one (loads only)."""

    source: Matrix | Dram
    target: Matrix | Dram
    transposed: bool = False
    compressed: bool = False
    zero_guard: bool = False
    bias0: int = 0
    bias1: int = 0


@dataclass(frozen=True, kw_only=True)
class LinearCopy(Tdma):
    """Copy of `size` plain bytes. An int operand is a linear local address (running
    through the lanes' memory one after the other)."""

    source: Dram | int
    target: Dram | int
    size: int
