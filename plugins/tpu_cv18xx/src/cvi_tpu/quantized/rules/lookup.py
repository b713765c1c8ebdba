"""Positions of maxima, and rows of tables: functions of the vendor's runtime."""

from __future__ import annotations

from math import prod

import numpy as np

from cvi.ir import DType, Graph, Op
from cvi.ops import ArgMax, Embedding, Pad, Permute, Reshape
from cvi_tpu.chip import ChipSpec
from cvi_tpu.quantized.mix_bf16 import quantise_rows
from cvi_tpu.quantized.ops import Bf16Add, Bf16FromInt8, Bf16Mul, CpuFunction, Int8MaxPool2d
from cvi_tpu.quantized.ops.cpu import FILE_DIMS
from cvi_tpu.quantized.registry import TPU, mixes, quantizes, requires
from cvi_tpu.quantized.rewriter import Chain, Operand, Rewriter
from cvi_tpu.quantized.rules.detection import has_cpu_functions
from cvi_tpu.quantized.weights import check_finite

BLOCK, SIDE = 256, 16
"""The runtime wants the maximum of every 256 elements (FACTS_CVIMODEL 6, argmax), which are
pooled as planes of 16 x 16."""

LOWEST = -128

requires(ArgMax, Embedding, precision=TPU)(has_cpu_functions)


@quantizes(ArgMax)
def argmax(op: ArgMax, to: Rewriter) -> None:
    """The TPU brings the axis to the end and finds the maximum of every block, the
    runtime's argmax_v3 finds where it is.

    The runtime's older argmax overlooks rows without a positive maximum, and all of these
    functions ignore what follows the axis (FACTS_TOOLCHAIN 3.7).
    """
    x = _rows(op, to)
    index = CpuFunction(
        name="",
        inputs=(x.name, _maxima(op, to, x).name),
        function="argmax_v3",
        arguments=(("axis", 1),),
        shape=x.shape[:1],
    )
    to.define_indices(shaped(op, to, index))


def shaped(op: Op, to: Rewriter, function: CpuFunction) -> Op:
    """The op that gives the layer's result: the function, or a Reshape of what it gives."""
    if function.shape == op.type.shape:
        return function.with_(name=op.name, source=op.source)
    flat = to.graph.add(function.with_(name=to.fresh(op.name, "flat")))
    return Reshape(name=op.name, inputs=(flat.name,), shape=op.type.shape, source=op.source)


def _rows(op: ArgMax, to: Rewriter) -> Operand:
    """The operand as (rows, elements along the axis)."""
    x = to.int8(op.inputs[0])
    rank, length = len(x.shape), x.shape[op.axis]
    if op.axis != rank - 1:
        order = (*(i for i in range(rank) if i != op.axis), op.axis)
        turned = Permute(name=to.fresh(op.name, "turned"), inputs=(x.name,), order=order)
        x = to.add(turned)
    return to.reshaped(x, (prod(x.shape[:-1]), length), op.name, "rows")


def _maxima(op: ArgMax, to: Rewriter, x: Operand) -> Operand:
    """The maximum of every block of a row, (rows, blocks); the last block may be shorter."""
    rows, length = x.shape
    blocks = -(-length // BLOCK)
    chain = Chain(to, op, x)
    if blocks > 1 and length % BLOCK:
        more = blocks * BLOCK - length
        lowest = LOWEST * x.scale
        chain.then(
            "filled", Pad(name="", inputs=("",), before=(0, 0), after=(0, more), value=lowest)
        )
    kernel = (SIDE, SIDE) if blocks > 1 else (1, length)
    chain.reshape("blocks", (1, rows * blocks, *kernel))
    chain.then("maxima", Int8MaxPool2d(name="", inputs=("",), out_scale=x.scale, kernel=kernel))
    chain.reshape("block_maxima", (rows, blocks))
    return chain.end()


@quantizes(Embedding, precision=TPU)
def embedding(op: Embedding, to: Rewriter) -> None:
    """The runtime's function of that name copies rows of a table. With int8 weights the TPU
    makes BF16 of the copies."""
    if to.int8_weights:
        _mixed_embedding(op, to)
        return
    wide = to.precision is DType.BF16
    scale = None if wide else to.scale(op.name)
    table = (
        to.bf16(op.inputs[1])
        if scale is None
        else to.int8_at(op.inputs[1], scale, op.name, "table")
    )
    to.define(shaped(op, to, _rows_of(op, to, table)))


def _rows_of(op: Embedding, to: Rewriter, table: Operand) -> CpuFunction:
    """The copies (count, depth) of rows of a stored table, in its element type."""
    indices = to.fp32(op.inputs[0])
    count, depth = prod(op.type.shape[:-1]), op.type.shape[-1]
    if len(op.type.shape) > FILE_DIMS:
        flat = Reshape(name=to.fresh(op.name, "indices"), inputs=(indices,), shape=(count,))
        indices = to.graph.add(flat).name
    return CpuFunction(
        name="",
        inputs=(indices, table.name),
        function="embedding",
        shape=(count, depth),
        dtype=table.dtype,
        scale=table.scale if table.dtype is DType.INT8 else None,
    )


mixes(Embedding)(has_cpu_functions)


def _mixed_embedding(op: Embedding, to: Rewriter) -> None:
    """A table in int8 with a scale and a zero point per column."""
    table = to.source.constants[op.inputs[1]]
    check_finite(op.name, table)
    found = quantise_rows(np.ascontiguousarray(table.T))
    stored = to.store(op.name, "table", found.weight.T)
    rows = _rows_of(op, to, Operand(stored, found.weight.T.shape, 1.0))
    copies = to.add(rows.with_(name=to.fresh(op.name, "rows")))
    chain = Chain(to, op, copies)
    chain.then("wide", Bf16FromInt8(name="", inputs=("",), scale=1.0))
    for label, row, kind in (("scale", found.scale, Bf16Mul), ("zero", found.zero, Bf16Add)):
        chain.then(label, kind(name="", inputs=("", to.store(op.name, label, row[None]))))
    chain.reshape("shape", op.type.shape)
    chain.close()


@requires(Embedding, precision=TPU)
def indices_come_from_outside(op: Embedding, graph: Graph, spec: ChipSpec) -> bool:
    """the indices are computed, or something else reads them too; the runtime turns no
    floats into whole numbers

    end the network before it with --outputs, and give the indices as an input of their own
    """
    return graph.type_of(op.inputs[0]).dtype in INDICES


INDICES = (DType.INT16, DType.UINT16, DType.INT32, DType.UINT32)
"""Element types of indices that the runtime reads (FACTS_CVIMODEL 6)."""


@requires(Embedding, precision=TPU)
def table_is_constant(op: Embedding, graph: Graph, spec: ChipSpec) -> bool:
    """the table is computed

    make it a constant
    """
    return op.inputs[1] in graph.constants
