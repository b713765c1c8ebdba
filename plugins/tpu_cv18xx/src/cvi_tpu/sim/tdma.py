"""Data movement between DRAM and local memory (FACTS_TPU 4.2)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cvi.errors import RunnerError
from cvi.ir.types import Array
from cvi_tpu.isa.instructions import Copy, Fill, LinearCopy, MatrixCopy, Transpose
from cvi_tpu.isa.operands import Dram, Local, Matrix
from cvi_tpu.sim import bf16, vlc, vlc_encode
from cvi_tpu.sim.memory import MOST_ELEMENTS, Bytes, LocalMemory, Regions, check_size, element

Tensor = Local | Dram

_MOST_CONVERTED = MOST_ELEMENTS // 8
"""Elements whose type changes on the way: that takes wider copies."""

_MOST_PACKED = 1 << 20
"""Elements of a compressing store: no more fit into local memory."""


def copy(memory: LocalMemory, dram: Regions, op: Copy) -> None:
    """Execute a tensor copy, with transposition and conversion of the element type."""
    if op.compressed and isinstance(op.target, Dram):
        _pack(dram, op, op.target, _read(memory, dram, op.source))
        return
    if op.compressed:
        _write(memory, dram, op.target, _unpacked(dram, op, op.target.shape))
        return
    values = _reordered(_read(memory, dram, op.source, op.transpose), op.transpose)
    if op.lut_index or op.lut_base:
        values = _table_move(values, op.lut_index)
    else:
        values = _convert(values, op)
    if values.size != np.prod(op.target.shape, dtype=np.int64):
        raise RunnerError(f"a copy moves {op.source.shape} to {op.target.shape}")
    _write(memory, dram, op.target, values)


def _unpacked(dram: Regions, op: Copy | MatrixCopy, shape: tuple[int, ...]) -> Array:
    """The elements of the compressed stream in DRAM."""
    source = op.source
    if not isinstance(source, Dram):
        raise RunnerError("a compressed copy moves within local memory")
    count = int(np.prod(shape, dtype=np.int64))
    head = vlc.header(dram.linear(source.region, source.address, vlc.HEADER_BYTES))
    if head.bf16 != op.target.bf16:
        raise RunnerError("a compressed stream has another element type than its target")
    stream = dram.linear(source.region, source.address, vlc.stream_bytes(head, count))
    return vlc.decode(stream, count).reshape(shape)


def _pack(dram: Regions, op: Copy | MatrixCopy, target: Dram, values: Array) -> None:
    """Store elements as a compressed stream; what lies behind it stays. The biases are 127
    and 0 for BF16, else 0; only BF16 has a zero guard (FACTS_TPU 4.5)."""
    check_size(values.shape, _MOST_PACKED)
    if (op.bias0, op.bias1) != (127 * target.bf16, 0) or (op.zero_guard and not target.bf16):
        raise RunnerError(
            f"a compressing store has biases {op.bias0} and {op.bias1} and zero guard"
            f" {op.zero_guard}; the vendor's simulator aborts"
        )
    head = vlc.Header(
        size=0,
        signed=target.signed and not target.bf16,
        bf16=target.bf16,
        bias0=op.bias0,
        bias1=op.bias1,
        zero_guard=op.zero_guard,
    )
    plain = np.ascontiguousarray(values).reshape(-1).view(element(False, target.bf16))
    stream = vlc_encode.encode(plain, head)
    dram.linear(target.region, target.address, stream.size)[...] = stream


def _read(
    memory: LocalMemory, dram: Regions, tensor: Tensor, transpose: Transpose | None = None
) -> Array:
    """The elements (n, c, h, w): a view where one is possible."""
    if isinstance(tensor, Local):
        return memory.tensor(tensor)
    if transpose in (Transpose.HWC3, Transpose.HWC4):
        return _interleaved(dram, tensor)
    return dram.view(tensor)


def _interleaved(dram: Regions, tensor: Dram) -> Array:
    """A tensor whose channels are interleaved: pixels of c bytes, rows of h stride."""
    n, c, h, w = tensor.shape
    sn, _, sh = tensor.strides
    pixels = replace(tensor, shape=(n, h, 1, w * c), strides=(sn, sh, 0))
    return np.transpose(dram.view(pixels).reshape(n, h, w, c), (0, 3, 1, 2))


def _reordered(values: Array, transpose: Transpose | None) -> Array:
    if transpose is Transpose.NC:
        return np.transpose(values, (1, 0, 2, 3))
    if transpose is Transpose.CW:
        return np.transpose(values, (0, 3, 2, 1))
    return values


def _convert(values: Array, op: Copy | MatrixCopy) -> Array:
    """Change the element type to the target's."""
    target = op.target
    if op.source.bf16 == target.bf16:
        return values
    check_size(values.shape, _MOST_CONVERTED)
    if target.bf16:
        return bf16.encode(values.astype(np.float32))
    toward_zero = isinstance(op, Copy) and op.int8_round_zero
    return bf16.to_int8(values, target.signed, toward_zero)


def _table_move(values: Array, index: bool) -> Array:
    """Table index bytes of BF16 patterns, or the patterns without mantissa (4.6)."""
    check_size(values.shape, _MOST_CONVERTED)
    bits = values.astype(np.int64)
    if not index:
        return (bits & 0xFF80).astype(np.uint16)
    byte = ((bits >> 7 & 0xFF) - 64 + 128 * (bits >> 15)) & 0xFF
    byte = np.where(bits & 0x7FFF == 0, 0, byte)
    return (byte | byte << 8).astype(np.uint16)


def _write(memory: LocalMemory, dram: Regions, target: Tensor, values: Array) -> None:
    """Store elements in (n, c, h, w) order, whatever shape `values` has."""
    dtype = element(target.signed, target.bf16)
    if values.shape != target.shape:
        values = values.reshape(target.shape)
    stored = values.view(dtype)
    if isinstance(target, Local):
        memory.write(target.address, target.strides, stored)
    else:
        dram.view(target)[...] = stored


def fill_constant(memory: LocalMemory, dram: Regions, op: Fill) -> None:
    """Execute a fill."""
    target = op.target
    dtype = element(False, target.bf16)
    value = dtype.type(op.value & (0xFFFF if target.bf16 else 0xFF))
    raw = replace(target, signed=False)
    if isinstance(raw, Local):
        for _, view in memory.pieces(raw.address, raw.shape, raw.strides, dtype):
            view[...] = value
    else:
        dram.view(raw)[...] = value


def matrix_copy(memory: LocalMemory, dram: Regions, op: MatrixCopy) -> None:
    """Execute a matrix copy. Pad columns of the local side are neither read nor written."""
    if op.compressed:
        _compressed_matrix(memory, dram, op)
    elif isinstance(op.target, Matrix) and isinstance(op.source, Dram):
        values = _convert(dram.view(op.source)[0, :, 0, :], op)
        _store_matrix(memory, op.target, values.T if op.transposed else values)
    elif isinstance(op.source, Matrix) and isinstance(op.target, Dram):
        rows = _load_matrix(memory, op.source)
        values = _convert(rows, op)
        dtype = element(op.target.signed, op.target.bf16)
        dram.view(op.target)[0, :, 0, :] = values.astype(dtype, copy=False)
    else:
        raise RunnerError("a matrix copy must have one side in DRAM and one in local memory")


def _compressed_matrix(memory: LocalMemory, dram: Regions, op: MatrixCopy) -> None:
    if isinstance(op.target, Matrix):
        shape = (op.target.rows, op.target.columns)
        _store_matrix(memory, op.target, _unpacked(dram, op, shape))
    elif isinstance(op.source, Matrix):
        _pack(dram, op, op.target, _load_matrix(memory, op.source))
    else:
        raise RunnerError("a matrix copy must have one side in DRAM and one in local memory")


def _parts(matrix: Matrix) -> list[tuple[slice, Local]]:
    """The whole pieces, and the partial last one, as tensors and their columns."""
    row, group = matrix.strides
    size = matrix.element_bytes
    whole, rest = divmod(matrix.columns, matrix.w)
    strides = (row, group, matrix.w * size, size)
    signed, kind = matrix.signed, matrix.bf16
    parts = []
    if whole:
        shape = (matrix.rows, whole, 1, matrix.w)
        tensor = Local(matrix.address, shape, strides, signed, kind)
        parts.append((slice(0, whole * matrix.w), tensor))
    if rest:
        # piece i lies where channel i of the tensor would: skip the whole pieces
        shape = (matrix.rows, whole + 1, 1, rest)
        tensor = Local(matrix.address, shape, strides, signed, kind)
        parts.append((slice(whole * matrix.w, matrix.columns), tensor))
    return parts


def _load_matrix(memory: LocalMemory, matrix: Matrix) -> Array:
    out = np.empty((matrix.rows, matrix.columns), element(matrix.signed, matrix.bf16))
    for columns, tensor in _parts(matrix):
        values = memory.tensor(tensor)
        count = (columns.stop - columns.start) // tensor.shape[3]
        out[:, columns] = values[:, -count:].reshape(matrix.rows, -1)
    return out


def _store_matrix(memory: LocalMemory, matrix: Matrix, values: Array) -> None:
    dtype = element(matrix.signed, matrix.bf16)
    for columns, tensor in _parts(matrix):
        part = values[:, columns]
        part = part.view(dtype) if part.dtype.itemsize == dtype.itemsize else part
        count = (columns.stop - columns.start) // tensor.shape[3]
        pieces = part.reshape(matrix.rows, count, 1, tensor.shape[3])
        if count == tensor.shape[1]:
            memory.write(tensor.address, tensor.strides, pieces)
            continue
        for channels, view in memory.pieces(tensor.address, tensor.shape, tensor.strides, dtype):
            if channels.stop == tensor.shape[1]:
                last = view[:, -1] if view.ndim == 4 else view[:, -1, -1]
                last[...] = pieces[:, 0]


def linear_copy(memory: LocalMemory, dram: Regions, op: LinearCopy) -> None:
    """Execute a copy of plain bytes."""
    source = _linear(memory, dram, op.source, op.size)
    target = _linear(memory, dram, op.target, op.size)
    target[...] = source.copy() if np.shares_memory(source, target) else source


def _linear(memory: LocalMemory, dram: Regions, side: Dram | int, size: int) -> Bytes:
    if isinstance(side, Dram):
        return dram.linear(side.region, side.address, size)
    if side < 0 or side + size > memory.bytes.size:
        raise RunnerError(f"a linear copy uses local bytes {side} to {side + size}")
    return memory.bytes.reshape(-1)[side : side + size]
