"""Saving and loading graphs: a readable JSON file and a safetensors file next to it.

Nothing in a file is executed and no path outside the file's own folder is opened.
Whatever the bytes, `load` gives a Graph or one ModelError.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from cvi.calibrate.table import Threshold
from cvi.errors import CviError, ModelError, PluginError
from cvi.files import atomic_write_bytes
from cvi.ir.graph import Graph
from cvi.ir.op import Op, op_class
from cvi.ir.types import Array, TensorType
from cvi.ir.values import decode, decode_dataclass, encode
from cvi.ir.weights import read_weights, weights_path, write_weights

FORMAT = "cvi-graph"
VERSION = 1
_SIZE_LIMIT = 256 << 20
_ELEMENT_LIMIT = 1 << 33
_KEYS = {"format", "version", "name", "weights", "digest", "outputs", "ops"}
_OPTIONAL = {"thresholds"}
_HEAD = 200
_OP_KEYS = {"name", "kind", "inputs", "type", "source", "attributes"}


def save(graph: Graph, path: str | os.PathLike[str]) -> None:
    """Write the graph to `path` and its constants to the safetensors file next to it.

    Each file appears whole or not at all; the same graph gives the same bytes. A digest
    in both files keeps `load` from pairing a graph with another one's weights.
    """
    weights = weights_path(path)
    document = {
        "format": FORMAT,
        "version": VERSION,
        **_encode_thresholds(graph),
        "name": graph.name,
        "weights": weights.name,
        "digest": write_weights(weights, graph.constants),
        "outputs": list(graph.outputs),
    }
    lines = [f" {json.dumps(key)}: {json.dumps(value)}," for key, value in document.items()]
    ops = ",\n".join("  " + json.dumps(_encode_op(op), allow_nan=False) for op in graph.ops)
    text = "\n".join(["{", *lines, ' "ops": [', ops, " ]", "}", ""])
    atomic_write_bytes(path, text.encode())


def load(path: str | os.PathLike[str]) -> Graph:
    """The graph of a file that `save` wrote; its constants are memory-mapped."""
    source = Path(path)
    document = _read_document(source)
    constants = _load_constants(source, document)
    graph = Graph(_text(document["name"], f"{source}: name"), constants=constants)
    if not isinstance(document["ops"], list):
        raise ModelError("the list of layers is broken", where=str(source))
    for position, entry in enumerate(document["ops"]):
        _load_op(graph, entry, f"{source}: layer {position}")
    graph.outputs = decode(document["outputs"], tuple[str, ...], f"{source}: outputs")
    graph.thresholds = _decode_thresholds(document.get("thresholds", {}), str(source))
    try:
        graph.check()
    except ModelError as error:
        raise ModelError(error.why, where=f"{source}: {error.where}") from error
    return graph


def is_graph_file(path: str | os.PathLike[str]) -> bool:
    """Whether the file looks like one that `save` wrote (only its beginning is read)."""
    try:
        with Path(path).open("rb") as file:
            return f'"format": "{FORMAT}"'.encode() in file.read(_HEAD)
    except OSError:
        return False


def brings_thresholds(path: str | os.PathLike[str]) -> bool:
    """Whether a graph file holds thresholds of its own (only its beginning is read)."""
    with Path(path).open("rb") as file:
        return b'"thresholds": {' in file.read(_HEAD)


def _encode_thresholds(graph: Graph) -> dict[str, Any]:
    """Near the beginning of the document, where there are any."""
    found = {name: [t.threshold, t.min, t.max] for name, t in graph.thresholds.items()}
    return {"thresholds": found} if found else {}


def _decode_thresholds(data: Any, where: str) -> dict[str, Threshold]:
    if not isinstance(data, dict):
        raise ModelError("the thresholds are broken", where=where)
    found = {}
    for name, entry in data.items():
        values = decode(entry, tuple[float, float, float], f"{where}: thresholds")
        try:
            found[name] = Threshold(*values)
        except CviError as error:
            raise ModelError(error.why, where=f"{where}: thresholds") from error
    return found


def _encode_op(op: Op) -> dict[str, Any]:
    return {
        "name": op.name,
        "kind": op.kind,
        "inputs": list(op.inputs),
        "type": encode(op.type),
        "source": op.source,
        "attributes": {name: encode(value) for name, value in op.attributes().items()},
    }


def _read_document(path: Path) -> dict[str, Any]:
    try:
        if not path.is_file():
            raise ModelError("the file does not exist", where=str(path))
        if path.stat().st_size > _SIZE_LIMIT:
            raise ModelError("the file is too large for a graph file", where=str(path))
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise ModelError(f"cannot be read: {error.strerror}", where=str(path)) from error
    except (ValueError, RecursionError) as error:
        raise ModelError("is not a graph file", where=str(path)) from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ModelError("is not a graph file", where=str(path))
    if document.get("version") != VERSION:
        raise ModelError(
            f"graph file of version {str(document.get('version'))[:20]}, not {VERSION}",
            where=str(path),
            fix="write it again with this version of cvi",
        )
    if set(document) - _OPTIONAL != _KEYS:
        raise ModelError("keys are missing or unknown", where=str(path))
    return document


def _load_constants(path: Path, document: dict[str, Any]) -> dict[str, Array]:
    name = _text(document["weights"], f"{path}: weights")
    if name in ("", ".", "..") or set(name) & set("/\\:\0"):
        raise ModelError("the weight file must lie next to the graph file", where=str(path))
    weights = path.parent / name
    try:
        inside = weights.resolve().parent == path.parent.resolve()
    except (OSError, RuntimeError, ValueError):
        inside = False
    if not inside:
        raise ModelError("the weight file lies in another folder", where=str(path))
    constants, digest = read_weights(weights)
    if digest != document["digest"]:
        raise ModelError(
            f"{weights.name} belongs to another graph",
            where=str(path),
            fix="keep the two files that were written together",
        )
    return constants


def _load_op(graph: Graph, entry: Any, where: str) -> None:
    """Append one layer; its type is inferred and must be the stored one."""
    if not isinstance(entry, dict) or set(entry) != _OP_KEYS:
        raise ModelError("the entry of the layer is broken", where=where)
    name = _text(entry["name"], f"{where}: name")
    where = f"{where} {name[:80]}"
    stored = _tensor_type(entry["type"], where)
    cls = _op_class(entry["kind"], where)
    if not name or name in graph.constants:
        raise ModelError("the name of the layer is empty or taken", where=where)
    if not isinstance(entry["attributes"], dict):
        raise ModelError("the attributes of the layer are broken", where=where)
    try:
        op: Op = decode_dataclass(
            entry["attributes"],
            cls,
            where,
            name=name,
            inputs=decode(entry["inputs"], tuple[str, ...], f"{where}: inputs"),
            type=stored,
            source=_text(entry["source"], f"{where}: source"),
        )
        inferred = graph.add(op).type
    except CviError as error:
        raise ModelError(error.why, where=error.where or where, fix=error.fix) from error
    except Exception as error:  # a third party's op that does not check its operands
        raise ModelError(f"the layer is not valid: {error}", where=where) from error
    if inferred != stored:
        raise ModelError(f"the layer gives {inferred}, not {stored}", where=where)


def _op_class(kind: Any, where: str) -> type[Op]:
    try:
        cls = op_class(_text(kind, f"{where}: kind"))
    except PluginError as error:
        raise ModelError(error.why, where=where, fix=error.fix) from error
    return cls


def _tensor_type(data: Any, where: str) -> TensorType:
    if not isinstance(data, dict):
        raise ModelError("the type of the layer is broken", where=where)
    kind: TensorType = decode_dataclass(data, TensorType, where)
    if any(s < 1 for s in kind.shape) or kind.elements > _ELEMENT_LIMIT:
        raise ModelError(f"a tensor cannot be {str(kind)[:80]}", where=where)
    return kind


def _text(data: Any, where: str) -> str:
    text: str = decode(data, str, where)
    return text
