"""The tensor table of a program (FACTS_CVIMODEL 5)."""

from __future__ import annotations

from cvi.ir import DType, Graph, Input, Op
from cvi.preprocess.spec import Preprocess
from cvi_tpu.codegen.context import View
from cvi_tpu.codegen.memory import HEAP, Memory
from cvi_tpu.model import NO_MEMORY, Element, QuantInfo, QuantKind, Tensor, four_dims, gmem


def describe_tensors(graph: Graph, memory: Memory) -> tuple[Tensor, ...]:
    """One entry for every value that has a place in memory.

    Inputs and outputs come first: the first tensor of an io region gives its size
    (FACTS_CVIMODEL 4), and others may lie inside it.
    """
    ends = {op.name for op in graph.inputs} | set(graph.outputs)
    ordered = sorted(graph.ops, key=lambda op: op.name not in ends)
    return tuple(
        _tensor(number, op, memory.views[op.name], op.name in memory.overwritten)
        for number, op in enumerate(op for op in ordered if op.name in memory.views)
    )


def _tensor(number: int, op: Op, view: View, overwritten: bool) -> Tensor:
    preprocess = op.preprocess if isinstance(op, Input) else None
    return Tensor(
        tensor_id=number,
        name=op.name,
        offset=NO_MEMORY if view.region == HEAP else gmem(view.region, view.address),
        element=Element.of(op.type.dtype),
        shape=four_dims(op.type.shape),
        quant=_quant(op),
        overwrote=overwritten,
        scale=_scale(preprocess),
        mean=_mean(preprocess),
        pixel_format=preprocess.pixel_format if preprocess else None,
    )


def _quant(op: Op) -> QuantInfo | None:
    """Inputs are multiplied by qscale to become integers, results to become real values."""
    if op.type.dtype is not DType.INT8 or not op.type.scale:
        return None
    qscale = 1 / op.type.scale if isinstance(op, Input) else op.type.scale
    return QuantInfo(kind=QuantKind.INT8_SYM, qscale=qscale)


def _scale(preprocess: Preprocess | None) -> tuple[float, ...] | None:
    """Per channel s of y = x*s - m (FACTS_TOOLCHAIN 2.1)."""
    if preprocess is None:
        return None
    factor = preprocess.raw_scale / 255 * preprocess.input_scale
    return tuple(factor / std for std in preprocess.std[:3])


def _mean(preprocess: Preprocess | None) -> tuple[float, ...] | None:
    """Per channel m of y = x*s - m (FACTS_TOOLCHAIN 2.1)."""
    if preprocess is None:
        return None
    pairs = zip(preprocess.mean, preprocess.std, strict=False)
    return tuple(mean * preprocess.input_scale / std for mean, std in pairs)[:3]
