"""Softmax is computed in float by the runtime's CPU function."""

from __future__ import annotations

from cvi.ir import DType, Graph
from cvi.ops import Softmax
from cvi_tpu.chip import ChipSpec
from cvi_tpu.quantized.ops import CpuSoftmax
from cvi_tpu.quantized.registry import quantizes, requires
from cvi_tpu.quantized.rewriter import Rewriter


@quantizes(Softmax, precision=DType.FP32)
def softmax(op: Softmax, to: Rewriter) -> None:
    """The CPU's function on the fp32 form of the operand."""
    source = (to.fp32(op.inputs[0]),)
    to.define_fp32(CpuSoftmax(name=op.name, inputs=source, axis=op.axis, source=op.source))


@requires(Softmax, precision=DType.FP32)
def not_logarithmic(op: Softmax, graph: Graph, spec: ChipSpec) -> bool:
    """the runtime has no CPU function for log-softmax

    end the network before it with --outputs; the largest value stays the largest
    """
    return not op.log


@requires(Softmax, precision=DType.FP32)
def has_cpu_functions(op: Softmax, graph: Graph, spec: ChipSpec) -> bool:
    """the chip's runtime has no CPU functions, and INT8 has no softmax

    end the network before it with --outputs; the largest value stays the largest
    """
    return spec.has_cpu_functions
