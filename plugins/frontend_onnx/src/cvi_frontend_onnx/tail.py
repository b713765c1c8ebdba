"""The part of a model behind a cut, as an ONNX model of its own for the host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cvi.ir import Shape
from cvi_frontend_onnx.model import read_model
from cvi_frontend_onnx.order import execution_order, reads
from cvi_frontend_onnx.reference import embed_external_data

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto


def tail_of(path: Path, cut: Mapping[str, Shape]) -> ModelProto | None:
    """The nodes behind the tensors `cut` (by their shapes), unchanged, also those that we
    cannot import. None when nothing is left.

    Inputs: the tensors of the cut in its order, then inputs of the network that are read
    there too. Outputs: those of the network that are not given by the cut.
    """
    model = read_model(path)
    graph = model.graph
    outputs = [value for value in graph.output if value.name not in cut]
    initializers = {t.name for t in graph.initializer}
    initializers |= {t.values.name for t in graph.sparse_initializer}
    own = [value.name for value in graph.input if value.name not in initializers]
    known = initializers | set(own) | set(cut)
    order = execution_order(graph, [value.name for value in outputs], known)
    if not order:
        return None
    embed_external_data(model, path)
    _keep(graph, order, cut, own, [value.name for value in outputs])
    return model


def _keep(
    graph: GraphProto,
    order: Sequence[int],
    cut: Mapping[str, Shape],
    own: Sequence[str],
    outputs: Sequence[str],
) -> None:
    """Leave only these nodes in the graph."""
    from onnx import TensorProto, helper

    nodes = [graph.node[i] for i in order]
    read = {name for node in nodes for name in reads(node)} | set(outputs)
    given = {value.name: value for value in graph.input}
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in cut.items()
        if name in read
    ]
    inputs += [given[name] for name in own if name in read and name not in cut]
    constants = [t for t in graph.initializer if t.name in read]
    sparse = [t for t in graph.sparse_initializer if t.values.name in read]
    results = [value for value in graph.output if value.name in outputs]
    kept = helper.make_graph(nodes, f"{graph.name}_tail", inputs, results, constants)
    kept.sparse_initializer.extend(sparse)
    graph.CopyFrom(kept)
