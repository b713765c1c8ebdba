"""Keeps the sums of a network's last layer as fp32 where its outputs are fp32 anyway."""

from __future__ import annotations

from cvi.ir import Array, Graph, Op
from cvi.ops import Reshape
from cvi_tpu.chip import ChipSpec
from cvi_tpu.quantized.ops import Bf16AvgPool2d, Bf16Conv2d, Fp32Conv, Fp32FromBf16, Fp32Mean
from cvi_tpu.quantized.ops.fp32_sums import parts_of

_SHARE = 4  # of a lane, what one channel of the operand may take


def keep_last_sums(graph: Graph, spec: ChipSpec) -> Graph:
    """The graph in which outputs that are cast from BF16 to fp32 are fp32 sums, where they
    come from a filter or a mean of one pixel, through nothing but reshapes."""
    changed: dict[str, Op] = {}
    constants, renamed = dict(graph.constants), {}
    for name in graph.outputs:
        cast = graph.get(name)
        if not isinstance(cast, Fp32FromBf16):
            continue
        source = _source(graph, cast)
        kept = None if source is None else _as_sums(source, graph, spec)
        if kept is None:
            continue
        op, parts = kept
        changed[op.name] = op
        constants |= parts
        renamed[name] = cast.inputs[0]
    if not changed:
        return graph
    ops = [changed.get(op.name, op) for op in graph.ops if op.name not in renamed]
    outputs = tuple(renamed.get(name, name) for name in graph.outputs)
    return graph.rebuilt(ops, outputs=outputs, constants=constants)


def _source(graph: Graph, cast: Op) -> Op | None:
    """The layer that makes what is cast, None when others read it too."""
    users, op = graph.users(), cast
    while op is cast or isinstance(op, Reshape):
        name = op.inputs[0]
        if len(users[name]) > 1 or name in graph.outputs or name not in graph:
            return None
        op = graph[name]
    return op


def _as_sums(op: Op, graph: Graph, spec: ChipSpec) -> tuple[Op, dict[str, Array]] | None:
    """The layer with fp32 sums and the constants that it needs; None where there is no way."""
    if op.type.shape[2:] != (1, 1) or len(op.type.shape) != 4:
        return None
    x = graph.type_of(op.inputs[0]).shape
    if x[2] * x[3] * 2 * _SHARE > spec.lane_bytes:
        return None
    if isinstance(op, Bf16AvgPool2d):
        whole = op.kernel == x[2:] and not any((*op.pads, *op.ceil_pads)) and not op.relu
        if not whole or len(op.factors) != 1 or "depthwise_partial" not in spec.features:
            return None
        return Fp32Mean(name=op.name, inputs=op.inputs, factor=op.factors[0][1]), {}
    if not isinstance(op, Bf16Conv2d) or op.is_mixed or op.group != 1 or op.relu:
        return None
    weight = graph.constants.get(op.inputs[1])
    plain = op.insert == (0, 0) and not any(op.pads) and op.dilation == (1, 1)
    if weight is None or not plain or weight.shape[2:] != x[2:]:
        return None
    if not op.inputs[2]:
        return Fp32Conv(name=op.name, inputs=(*op.inputs[:2], ""), step=op.step), {}
    name = graph.fresh(f"{op.inputs[2]}_parts")
    parts = {name: parts_of(graph.constants[op.inputs[2]])}
    return Fp32Conv(name=op.name, inputs=(*op.inputs[:2], name), step=op.step), parts
