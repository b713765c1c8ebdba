"""Instance normalisation by the runtime's CPU function, where that is right."""

from __future__ import annotations

import numpy as np

from cvi.ir import DType, Graph
from cvi.ops import Concat, InstanceNorm, Slice
from cvi_tpu.chip import ChipSpec
from cvi_tpu.quantized.ops import CpuFunction
from cvi_tpu.quantized.ops.cpu import FILE_DIMS
from cvi_tpu.quantized.registry import quantizes, requires
from cvi_tpu.quantized.rewriter import Rewriter


@quantizes(InstanceNorm, precision=DType.FP32)
def instance_norm(op: InstanceNorm, to: Rewriter) -> None:
    """A call of the runtime's function for every image: it normalises all images by the
    statistics of the last one (FACTS_CVIMODEL 6, found by trying)."""
    x = to.fp32(op.inputs[0])
    parameters = tuple(to.fp32(name) for name in op.inputs[1:])
    n, *image = op.type.shape
    call = CpuFunction(
        name=op.name, inputs=(x, *parameters), function="instance_norm", source=op.source,
        shape=(1, *image), arguments=(("variance_epsilon", float(op.eps)),),
    )  # fmt: skip
    if n == 1:
        to.define_fp32(call)
        return
    parts = []
    for i in range(n):
        taken = Slice(
            name=to.fresh(op.name, f"image_{i}"), inputs=(x,), starts=(i, *(0 for _ in image)),
            sizes=(1, *image), steps=(1,) * (1 + len(image)),
        )  # fmt: skip
        operands = (to.graph.add(taken).name, *parameters)
        name = to.fresh(op.name, f"normalised_{i}")
        parts.append(to.graph.add(call.with_(name=name, inputs=operands, source="")).name)
    to.define_fp32(Concat(name=op.name, inputs=tuple(parts), axis=0, source=op.source))


@requires(InstanceNorm, precision=DType.FP32)
def is_plain(op: InstanceNorm, graph: Graph, spec: ChipSpec) -> bool:
    """the runtime's function is wrong unless gamma is 1, and beta belongs to what follows

    simplify the network first, which puts them into a layer of their own; they must be
    constants
    """
    gamma, beta = (graph.constants.get(name) for name in op.inputs[1:])
    known = gamma is not None and beta is not None
    return known and bool(np.all(gamma == 1)) and not np.any(beta)


@requires(InstanceNorm, precision=DType.FP32)
def runtime_has_functions(op: InstanceNorm, graph: Graph, spec: ChipSpec) -> bool:
    """the chip's runtime has no CPU functions, and INT8 has no instance normalisation

    train the network with batch normalisation, which is folded into the weights
    """
    return spec.has_cpu_functions


@requires(InstanceNorm, precision=DType.FP32)
def few_enough_dims(op: InstanceNorm, graph: Graph, spec: ChipSpec) -> bool:
    """the runtime's function takes tensors of at most 4 dimensions

    reshape the tensor around the layer
    """
    return len(op.type.shape) <= FILE_DIMS
