"""What rules for functions of the runtime share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from cvi.ir import Op, Shape
from cvi.ops import Reshape
from cvi_tpu.model.arguments import Value
from cvi_tpu.quantized.ops import CpuFunction
from cvi_tpu.quantized.rewriter import Rewriter

NEVER = float(np.finfo(np.float32).max)
"""A threshold that no overlap is above."""


def define(
    op: Op, to: Rewriter, function: str, inputs: Sequence[str], arguments: Mapping[str, Value]
) -> None:
    """Define the layer as a call of a CPU function."""
    to.define_fp32(
        CpuFunction(
            name=op.name,
            inputs=tuple(inputs),
            source=op.source,
            function=function,
            arguments=tuple(arguments.items()),
            shape=op.type.shape,
        )
    )


def shaped(to: Rewriter, name: str, shape: Shape, helper: str) -> str:
    """The fp32 form of a value in the given shape, by a Reshape if it has another."""
    values = to.constant(name)
    if values is not None:
        return to.store(helper, "fp32", values.reshape(shape))
    source = to.fp32(name)
    if to.graph.type_of(source).shape == shape:
        return source
    op = Reshape(name=to.fresh(helper, "shaped"), inputs=(source,), shape=shape)
    return to.graph.add(op).name
