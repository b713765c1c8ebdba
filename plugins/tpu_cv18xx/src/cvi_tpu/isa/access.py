"""What an instruction reads and writes, as byte ranges.

Ranges are hulls: they may hold bytes that are not touched, never leave out one that is.
Local memory is one space of offsets for all lanes; each DRAM region is a space of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from cvi_tpu.isa.geometry import Span, dram_span, local_span, matrix_span, stream_bound
from cvi_tpu.isa.instructions import (
    Arith,
    ArithOp,
    Const,
    Conv,
    Copy,
    Depthwise,
    Fill,
    Instruction,
    LinearCopy,
    Lut,
    MatMul,
    MatrixCopy,
    Mdsum,
    Pool,
    Transpose,
)
from cvi_tpu.isa.operands import Dram, Local, Matrix
from cvi_tpu.isa.tiu_arith import TABLE_ENTRIES
from cvi_tpu.isa.tiu_conv import record_bytes, weight_bytes
from cvi_tpu.isa.tiu_matmul import bias_bytes

if TYPE_CHECKING:
    from cvi_tpu.chip import ChipSpec

LOCAL_MEMORY = -1


class Range(NamedTuple):
    """Bytes [start, end) of a space: LOCAL_MEMORY or the number of a DRAM region."""

    space: int
    start: int
    end: int

    def __str__(self) -> str:
        name = "local" if self.space == LOCAL_MEMORY else f"dram{self.space}"
        return f"{name}[{self.start:#x}:{self.end:#x}]"


@dataclass(frozen=True)
class Accesses:
    """Ranges that an instruction reads and writes."""

    reads: tuple[Range, ...]
    writes: tuple[Range, ...]


def accesses(instruction: Instruction, spec: ChipSpec) -> Accesses:
    """Everything that a legal instruction touches."""
    reads, writes = _ACCESSES[type(instruction)](instruction, spec)
    return Accesses(tuple(reads), tuple(writes))


Lists = tuple[list[Range], list[Range]]


def _local(span: Span) -> Range:
    return Range(LOCAL_MEMORY, span[0], span[1])


def _block(address: int, size: int, spec: ChipSpec) -> Range:
    offset = address % spec.lane_bytes
    return Range(LOCAL_MEMORY, offset, offset + size)


def _tensor(tensor: Local, spec: ChipSpec) -> list[Range]:
    """One range, or two for a 16-bit tensor."""
    start, end = local_span(tensor, spec)
    low = Range(LOCAL_MEMORY, start, end)
    if not tensor.plane:
        return [low]
    return [low, Range(LOCAL_MEMORY, start + tensor.plane, end + tensor.plane)]


def _planes(span: Span, plane: int, bf16: bool) -> Range:
    """32-bit partial sums: four byte planes, or two BF16-sized ones (FACTS_TPU 2.3)."""
    return Range(LOCAL_MEMORY, span[0], span[1] + (1 if bf16 else 3) * plane)


# -- TIU -------------------------------------------------------------------


def _arith(arith: Arith, spec: ChipSpec) -> Lists:
    result = _tensor(arith.result, spec)
    reads = _tensor(arith.left, spec)
    if isinstance(arith.right, Local):
        reads += _tensor(arith.right, spec)
    if arith.op is ArithOp.MAC:
        reads += result
    return reads, result[:1] if arith.narrow else result


def _lut(lut: Lut, spec: ChipSpec) -> Lists:
    table = _block(lut.table, TABLE_ENTRIES * lut.result.element_bytes, spec)
    return [*_tensor(lut.input, spec), table], _tensor(lut.result, spec)


def _simple(instruction: Pool | Mdsum, spec: ChipSpec) -> Lists:
    return _tensor(instruction.input, spec), _tensor(instruction.result, spec)


def _conv(conv: Conv | Depthwise, spec: ChipSpec) -> Lists:
    reads = _tensor(conv.input, spec)
    if not isinstance(conv.weight, Const):
        reads.append(_block(conv.weight, weight_bytes(conv, spec), spec))
    records = record_bytes(conv, spec)
    if records:
        reads.append(_block(conv.quant.records, records, spec))
    span = local_span(conv.result, spec)
    return _with_partials(reads, span, conv.partial, conv.partial_plane, conv.input.bf16)


def _with_partials(reads: list[Range], span: Span, partial: int, plane: int, bf16: bool) -> Lists:
    sums = _planes(span, plane, bf16)
    if partial & 1:
        reads.append(sums)
    return reads, [sums if partial & 2 else _local(span)]


def _matmul(matmul: MatMul, spec: ChipSpec) -> Lists:
    result = matmul.result
    reads = [_local(matrix_span(matmul.left, spec))]
    if isinstance(matmul.right, Matrix):
        reads.append(_local(matrix_span(matmul.right, spec)))
    if matmul.bias is not None:
        reads.append(_block(matmul.bias, bias_bytes(matmul, spec), spec))
    span = matrix_span(result, spec)
    high = result.rows * result.strides[0]
    both = Range(LOCAL_MEMORY, span[0], span[1] + high)
    if matmul.add_result:
        reads.append(both)
    if matmul.wide:
        return reads, [both]
    return _with_partials(reads, span, matmul.partial, matmul.partial_plane, result.bf16)


# -- TDMA ------------------------------------------------------------------


def _side(operand: Local | Dram | Matrix, compressed: bool, spec: ChipSpec) -> Range:
    if isinstance(operand, Local):
        return _local(local_span(operand, spec))
    if isinstance(operand, Matrix):
        return _local(matrix_span(operand, spec))
    start, end = dram_span(operand)
    if compressed:
        n, c, h, w = operand.shape
        end = start + stream_bound(n * c * h * w, operand.element_bytes)
    return Range(operand.region, start, end)


def _copy(copy: Copy, spec: ChipSpec) -> Lists:
    source = _side(copy.source, copy.compressed, spec)
    target = _side(copy.target, copy.compressed, spec)
    if copy.transpose in (Transpose.HWC3, Transpose.HWC4):
        _, c, _, w = copy.source.shape
        source = source._replace(end=source.end - (c - 1) - w + w * c)
    return [source], [target]


def _fill(fill: Fill, spec: ChipSpec) -> Lists:
    return [], [_side(fill.target, False, spec)]


def _matrix_copy(copy: MatrixCopy, spec: ChipSpec) -> Lists:
    source = _side(copy.source, copy.compressed, spec)
    return [source], [_side(copy.target, copy.compressed, spec)]


def _linear(copy: LinearCopy, spec: ChipSpec) -> Lists:
    def side(operand: Dram | int) -> Range:
        if isinstance(operand, Dram):
            return Range(operand.region, operand.address, operand.address + copy.size)
        block = _block(operand, copy.size, spec)
        if block.end > spec.lane_bytes:
            return Range(LOCAL_MEMORY, 0, spec.lane_bytes)
        return block

    return [side(copy.source)], [side(copy.target)]


_ACCESSES: dict[type[Instruction], Callable[[Any, ChipSpec], Lists]] = {
    Arith: _arith,
    Lut: _lut,
    Mdsum: _simple,
    Pool: _simple,
    Conv: _conv,
    Depthwise: _conv,
    MatMul: _matmul,
    Copy: _copy,
    Fill: _fill,
    MatrixCopy: _matrix_copy,
    LinearCopy: _linear,
}
