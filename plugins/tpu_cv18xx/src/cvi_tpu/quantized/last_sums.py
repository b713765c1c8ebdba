"""Keeps the sums of a last layer as fp32 where they are read as fp32 anyway."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from cvi.ir import Array, DType, Graph, Op
from cvi.ops import Reshape
from cvi_tpu.chip import ChipSpec
from cvi_tpu.quantized import bf16
from cvi_tpu.quantized.ops import Bf16AvgPool2d, Bf16Conv2d, Fp32Conv, Fp32FromBf16
from cvi_tpu.quantized.ops.fp32_sums import parts_of

_SHARE = 4  # of a lane, what one channel of the operand may take


def keep_last_sums(graph: Graph, spec: ChipSpec) -> Graph:
    """The graph in which what is cast from BF16 to fp32 (outputs, operands of functions on the
    CPU) is fp32 sums, where it comes from a filter or a mean of one pixel, through nothing but
    reshapes."""
    changed: dict[str, list[Op]] = {}
    users = graph.users()
    constants, renamed = dict(graph.constants), {}
    for cast in graph.ops:
        if not isinstance(cast, Fp32FromBf16):
            continue
        source = _source(graph, users, cast)
        kept = source and _as_sums(source, graph, spec)
        if not source or not kept:
            continue
        changed[source.name], added = kept
        constants |= added
        renamed[cast.name] = cast.inputs[0]
    if not changed:
        return graph
    ops = [new for op in graph.ops if op.name not in renamed for new in changed.get(op.name, [op])]
    reading = [op.with_(inputs=tuple(renamed.get(name, name) for name in op.inputs)) for op in ops]
    outputs = tuple(renamed.get(name, name) for name in graph.outputs)
    return graph.rebuilt(reading, outputs=outputs, constants=constants)


def sums_fit(shape: tuple[int, ...], spec: ChipSpec) -> bool:
    """Whether fp32 sums over images [n, c, h, w] are possible."""
    return shape[2] * shape[3] * DType.BF16.size * _SHARE <= spec.lane_bytes


def _source(graph: Graph, users: Mapping[str, Sequence[Op]], cast: Op) -> Op | None:
    """The layer that makes what is cast, None when others read it too."""
    op = cast
    while op is cast or isinstance(op, Reshape):
        name = op.inputs[0]
        if len(users[name]) > 1 or name in graph.outputs or name not in graph:
            return None
        op = graph[name]
    return op


Sums = tuple[list[Op], dict[str, Array]]
"""Ops, of which the last one has the name of the layer, and constants that they need."""


def _as_sums(op: Op, graph: Graph, spec: ChipSpec) -> Sums | None:
    """The layer with fp32 sums; None where there is no way."""
    if op.type.shape[2:] != (1, 1) or len(op.type.shape) != 4:
        return None
    if not sums_fit(graph.type_of(op.inputs[0]).shape, spec):
        return None
    if isinstance(op, Bf16AvgPool2d):
        return _mean(op, graph)
    return _filter(op, graph) if isinstance(op, Bf16Conv2d) else None


def _mean(op: Bf16AvgPool2d, graph: Graph) -> Sums | None:
    """A mean of whole images: the images are rows, and their sum that of one filter."""
    n, c, h, w = graph.type_of(op.inputs[0]).shape
    whole = op.kernel == (h, w) and not any((*op.pads, *op.ceil_pads)) and not op.relu
    if not whole or len(op.factors) != 1:
        return None
    rows, sums, weight = (graph.fresh(f"{op.name}_{part}") for part in ("rows", "sums", "factor"))
    ops = [
        Reshape(name=rows, inputs=op.inputs[:1], shape=(n, 1, c, h * w)),
        Fp32Conv(name=sums, inputs=(rows, weight, "")),
        Reshape(name=op.name, inputs=(sums,), shape=(n, c, 1, 1)),
    ]
    return ops, {weight: np.full((1, 1, 1, h * w), bf16.pattern(op.factors[0][1]), np.uint16)}


def _filter(op: Bf16Conv2d, graph: Graph) -> Sums | None:
    """A filter of the size of its image."""
    weight = graph.constants.get(op.inputs[1])
    plain = op.insert == (0, 0) and not any(op.pads) and op.dilation == (1, 1)
    if weight is None or not plain or op.is_mixed or op.group != 1 or op.relu:
        return None
    if weight.shape[2:] != graph.type_of(op.inputs[0]).shape[2:]:
        return None
    if not op.inputs[2]:
        return [Fp32Conv(name=op.name, inputs=(*op.inputs[:2], ""), step=op.step)], {}
    name = graph.fresh(f"{op.inputs[2]}_parts")
    parts = {name: parts_of(graph.constants[op.inputs[2]])}
    return [Fp32Conv(name=op.name, inputs=(*op.inputs[:2], name), step=op.step)], parts
