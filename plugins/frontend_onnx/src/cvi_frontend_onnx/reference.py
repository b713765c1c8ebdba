"""Reference inference: the model itself in onnxruntime, with its intermediate tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cvi.errors import InputError, ModelError
from cvi.ir import Array
from cvi_frontend_onnx.foreign import bridge, foreign_tensors
from cvi_frontend_onnx.layout import as_declared
from cvi_frontend_onnx.model import check_names, opsets, read_model
from cvi_frontend_onnx.session import first_line, make_session, runtime_errors
from cvi_frontend_onnx.shapes import declared_shape
from cvi_frontend_onnx.tensors import Tensors, element_type

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto

_THREADS = 2


def run_reference(
    path: Path, inputs: Mapping[str, Array], tensors: Sequence[str] | None
) -> dict[str, Array]:
    """The asked tensors (None: all) by their ONNX names, in the model's own layout; inputs as
    they are given.

    Dynamic dimensions take the sizes of the given inputs. A batch that is a multiple of
    the model's own is run in turns and joined along dimension 0. The inputs may hold values
    of foreign tensors, which onnxruntime cannot compute; what depends on others that are not
    given (or, in turns, on any) is left out.
    """
    model = read_model(path)
    check_names(model.graph)
    opsets(model)
    embed_external_data(model, path)
    foreign = set(foreign_tensors(model))
    own = {n: a for n, a in inputs.items() if n not in foreign}
    feeds = _feeds(model.graph, as_declared(model.graph, own), path)
    turns = _turns(model.graph, feeds)
    names = _wanted(model.graph, tensors, path)
    if foreign:
        given = _bridges(inputs, foreign, turns)
        bridge(model, foreign, given)
        turns |= {name: [array] for name, array in given.items()}
    _set_input_shapes(model.graph, {name: parts[0] for name, parts in turns.items()})
    computed = names & {name for node in model.graph.node for name in node.output}
    _set_outputs(model.graph, computed)
    found = _run(model, turns, sorted(computed), path)
    return found | {n: np.asarray(own[n], feeds[n].dtype) for n in names & set(feeds)}


def _bridges(
    inputs: Mapping[str, Array], foreign: set[str], turns: Mapping[str, Sequence[Array]]
) -> dict[str, Array]:
    """Given values of foreign tensors. Those of several turns cannot be told apart."""
    if any(len(parts) > 1 for parts in turns.values()):
        return {}
    return {name: array for name, array in inputs.items() if name in foreign}


def _run(
    model: ModelProto, turns: Mapping[str, Sequence[Array]], names: Sequence[str], path: Path
) -> dict[str, Array]:
    if not names:
        return {}
    session = make_session(model, optimise=False, threads=_THREADS)
    count = len(next(iter(turns.values()), [None]))
    try:
        results = [
            session.run(list(names), {name: parts[i] for name, parts in turns.items()})
            for i in range(count)
        ]
    except runtime_errors() as error:
        raise ModelError(
            f"onnxruntime cannot run it: {first_line(error)}", where=str(path)
        ) from error
    return {
        name: _joined([r[i] for r in results])
        for i, name in enumerate(names)
        if isinstance(results[0][i], np.ndarray)
    }


def _joined(parts: Sequence[Array]) -> Array:
    return np.concatenate(parts) if len(parts) > 1 and parts[0].ndim else np.asarray(parts[0])


def embed_external_data(model: ModelProto, path: Path) -> None:
    """Bring tensors kept in other files into the model, through our own checked reader."""
    from onnx import numpy_helper

    reader = Tensors(path.parent)
    for tensor in model.graph.initializer:
        if tensor.data_location == 1:
            array = reader.array(tensor, f"initializer {tensor.name!r}")
            tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(array), tensor.name))


def _network_inputs(graph: GraphProto) -> dict[str, int]:
    """Name -> element type."""
    initializers = {t.name for t in graph.initializer}
    return {i.name: i.type.tensor_type.elem_type for i in graph.input if i.name not in initializers}


def _feeds(graph: GraphProto, inputs: Mapping[str, Array], path: Path) -> dict[str, Array]:
    """The given inputs in the model's own element types."""
    declared = _network_inputs(graph)
    missing, unknown = sorted(set(declared) - set(inputs)), sorted(set(inputs) - set(declared))
    if missing or unknown:
        raise InputError(
            f"the model's inputs are {', '.join(declared)}, given are {', '.join(inputs)}",
            where=str(path),
        )
    return {
        name: np.asarray(inputs[name], element_type(code, f"input {name!r}"), order="C")
        for name, code in declared.items()
    }


def _turns(graph: GraphProto, feeds: Mapping[str, Array]) -> dict[str, list[Array]]:
    """Every input cut into batches of the model's own size, if its batch is fixed."""
    declared = {i.name: declared_shape(i) for i in graph.input if i.name in feeds}
    counts = set()
    for name, array in feeds.items():
        own = declared[name][0] if len(declared[name]) > 1 else "?"
        fixed = isinstance(own, int) and array.ndim == len(declared[name])
        divides = fixed and isinstance(own, int) and array.shape[0] % own == 0
        counts.add(array.shape[0] // own if divides and isinstance(own, int) else 1)
    count = counts.pop() if len(counts) == 1 else 1
    return {name: np.split(array, count) if count > 1 else [array] for name, array in feeds.items()}


def _set_input_shapes(graph: GraphProto, feeds: Mapping[str, Array]) -> None:
    """Declare the shapes of the feeds; what the model says of inner shapes is dropped."""
    for info in graph.input:
        if info.name in feeds:
            shape = info.type.tensor_type.shape
            del shape.dim[:]
            for size in feeds[info.name].shape:
                shape.dim.add().dim_value = size
    del graph.value_info[:]


def _wanted(graph: GraphProto, tensors: Sequence[str] | None, path: Path) -> set[str]:
    computed = {name for node in graph.node for name in node.output if name}
    if tensors is None:
        return computed
    unknown = sorted(set(tensors) - computed - set(_network_inputs(graph)))
    if unknown:
        raise InputError(f"the model has no tensor {', '.join(unknown)}", where=str(path))
    return set(tensors)


def _set_outputs(graph: GraphProto, names: set[str]) -> None:
    del graph.output[:]
    for name in sorted(names):
        graph.output.add().name = name
