"""Positions of maxima in BF16."""

from __future__ import annotations

from cvi.ir import DType
from cvi.ops import ArgMax
from cvi_tpu.quantized.ops import Bf16MaxPool2d, Bf16Sub, CpuFunction
from cvi_tpu.quantized.registry import quantizes, requires
from cvi_tpu.quantized.rewriter import Operand, Rewriter
from cvi_tpu.quantized.rules.bf16_rows import NEVER_LARGEST, Rows
from cvi_tpu.quantized.rules.detection import has_cpu_functions
from cvi_tpu.quantized.rules.lookup import BLOCK, shaped

requires(ArgMax, precision=DType.BF16)(has_cpu_functions)


@quantizes(ArgMax, precision=DType.BF16)
def argmax(op: ArgMax, to: Rewriter) -> None:
    """The runtime's argmax_v3 of the rows less their maxima.

    It compares BF16 as integers, which puts negative numbers in the wrong order. But of what
    is left only the largest are 0, and all others are negative.
    """
    length = to.source.type_of(op.inputs[0]).shape[op.axis]
    rows = Rows(op, to, (op.axis,), NEVER_LARGEST, width=min(length, BLOCK))
    blocks = _largest(rows, rows.x, (1, rows.width))
    whole = _largest(rows, blocks, (rows.pieces, 1)) if rows.pieces > 1 else blocks
    left = _less(rows, rows.x, whole, (rows.outer, rows.pieces * rows.width))
    maxima = _less(rows, blocks, whole, (rows.outer, rows.pieces))
    index = CpuFunction(
        name="",
        inputs=(left.name, maxima.name),
        function="argmax_v3",
        arguments=(("axis", 1),),
        shape=(rows.outer,),
        patterns=True,
    )
    to.define_indices(shaped(op, to, index))


def _largest(rows: Rows, x: Operand, kernel: tuple[int, int]) -> Operand:
    chain = rows.chain(x)
    chain.then("largest", Bf16MaxPool2d(name="", inputs=("",), kernel=kernel))
    return chain.end()


def _less(rows: Rows, x: Operand, largest: Operand, shape: tuple[int, int]) -> Operand:
    """The rows (or their blocks' maxima) less the largest value, as a matrix."""
    chain = rows.chain(x)
    chain.then("less", Bf16Sub(name="", inputs=("", largest.name)))
    chain.reshape("matrix", shape)
    return chain.end()
