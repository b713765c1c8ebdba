"""Reading an ONNX file: from bytes to a ModelProto that holds together."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from cvi.content import protobuf_fields, read_model_file
from cvi.errors import ModelError, UnsupportedError

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto

_MODEL_FIELDS = {1: 0, 2: 2, 3: 2, 4: 2, 5: 0, 6: 2, 7: 2, 8: 2, 14: 2, 20: 2, 25: 2, 26: 2}
"""Field number of ModelProto -> wire type."""

_GRAPH, _OPSET = 7, 8


def looks_like_onnx(path: Path) -> bool:
    """Whether a file has the outer structure of a ModelProto. Reads a few bytes per field."""
    fields = protobuf_fields(path) or {}
    known = all(_MODEL_FIELDS.get(field) == wire for field, wire in fields.items())
    return known and _GRAPH in fields and (_OPSET in fields or 1 in fields)


def read_model(path: Path) -> ModelProto:
    """The parsed file. InputError when there is none, ModelError when it is no ONNX model."""
    import onnx
    from google.protobuf.message import DecodeError

    data = read_model_file(path, too_large="export it with external data")
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except (DecodeError, RecursionError, ValueError) as error:
        raise ModelError(
            "is not an ONNX model, or it is broken or cut off",
            where=str(path),
            fix="download or export it again",
        ) from error
    if not model.HasField("graph") or not (model.graph.node or model.graph.output):
        raise ModelError("holds no ONNX graph", where=str(path), fix="download or export it again")
    return _inlined(model, path) if model.functions else model


def _inlined(model: ModelProto, path: Path) -> ModelProto:
    """The model with the nodes of its own functions in place of their calls."""
    from onnx import inliner

    try:
        return inliner.inline_local_functions(model)
    except (RuntimeError, ValueError, TypeError) as error:
        raise ModelError(
            "its local functions cannot be put in place",
            where=str(path),
            fix="check the model with onnx.checker, or export it again",
        ) from error


def opsets(model: ModelProto) -> dict[str, int]:
    """Domain -> version ("" is ONNX's own). UnsupportedError outside 7 … what onnx knows."""
    from onnx import defs

    versions = {}
    for entry in model.opset_import:
        domain = entry.domain if entry.domain != "ai.onnx" else ""
        versions[domain] = int(entry.version)
    own = versions.setdefault("", 1)
    if own < 7:
        raise UnsupportedError(
            f"uses opset {own}; the oldest supported is 7",
            fix="export it again with opset 11 or newer",
        )
    if own > defs.onnx_opset_version():
        raise UnsupportedError(
            f"uses opset {own}; the installed onnx knows up to {defs.onnx_opset_version()}",
            fix="pip install --upgrade onnx, or export the model with an older opset",
        )
    return versions


def check_names(graph: GraphProto) -> None:
    """ModelError when a name is not text (a sign of a damaged file)."""
    for name in _names(graph):
        if not isinstance(name, str) or any(c < " " or c == "\x7f" for c in name):
            raise ModelError(
                f"the name {name!r} is not printable text", fix="download or export it again"
            )


def _names(graph: GraphProto) -> Iterator[object]:
    for node in graph.node:
        yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
        for attribute in node.attribute:
            yield attribute.name
            if attribute.HasField("g"):
                yield from _names(attribute.g)
    for value in (*graph.input, *graph.output):
        yield value.name
        shape = value.type.tensor_type.shape
        yield from (d.dim_param for d in shape.dim if d.HasField("dim_param"))
    for tensor in graph.initializer:
        yield tensor.name
        yield from (text for entry in tensor.external_data for text in (entry.key, entry.value))
