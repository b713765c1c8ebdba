"""Ops of third parties, which onnxruntime cannot compute: going on behind them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from cvi.ir import Array

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto

Key = tuple[str, str]
"""Domain and name of an op; ONNX's own domain is ""."""


def foreign_tensors(model: ModelProto) -> tuple[str, ...]:
    """What nodes compute whose op neither onnxruntime nor the model itself defines."""
    known = _known(model)
    strangers = [node for node in model.graph.node if _key(node) not in known]
    return tuple(name for node in strangers for name in node.output if name)


def _known(model: ModelProto) -> set[Key]:
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    own = {(schema.domain, schema.name) for schema in state.get_all_operator_schema()}
    return own | {(function.domain, function.name) for function in model.functions}


def _key(node: NodeProto) -> Key:
    return ("" if node.domain == "ai.onnx" else node.domain, node.op_type)


def bridge(model: ModelProto, foreign: set[str], given: Mapping[str, Array]) -> None:
    """Take the foreign nodes out of the model. The tensors in `given` become inputs; nodes
    that need one that is not given are taken out too."""
    graph = model.graph
    lost = foreign - given.keys()
    kept = []
    for node in _in_order(graph):
        if foreign.intersection(node.output):
            continue
        if lost.intersection(node.input):
            lost.update(node.output)
        else:
            kept.append(node)
    del graph.node[:]
    graph.node.extend(kept)
    _declare(graph, given)
    used = {node.domain for node in kept} | {"", "ai.onnx"}
    unused = [entry for entry in model.opset_import if entry.domain not in used]
    for entry in unused:
        model.opset_import.remove(entry)


def _in_order(graph: GraphProto) -> list[NodeProto]:
    """The nodes, each behind those whose results it reads."""
    from cvi_frontend_onnx.order import execution_order

    computed = {name for node in graph.node for name in node.output if name}
    read = {name for node in graph.node for name in node.input if name}
    return [graph.node[i] for i in execution_order(graph, computed, read - computed)]


def _declare(graph: GraphProto, given: Mapping[str, Array]) -> None:
    from onnx import helper

    for name, array in given.items():
        code = helper.np_dtype_to_tensor_dtype(array.dtype)
        graph.input.append(helper.make_tensor_value_info(name, code, array.shape))
