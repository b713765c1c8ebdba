"""What kind of file a path is, by its first bytes."""

from __future__ import annotations

from pathlib import Path

from cvi.content import protobuf_fields, read_model_file
from cvi.errors import ModelError

_IDENTIFIER = b"TFL3"
_HDF5 = b"\x89HDF\r\n\x1a\n"
_ZIP = b"PK\x03\x04"
_GRAPH_DEF = {1: 2, 2: 2, 3: 0, 4: 2, 5: 2}
"""Field number of GraphDef -> wire type."""


def kind_of(path: Path) -> str | None:
    """ "tflite", "saved-model" (a folder, or the file in it), "keras" or "frozen-graph"; None
    when unknown.

    A damaged or unrelated file named `.tflite` is "tflite", so that reading it can say
    what it is instead.
    """
    if path.is_dir():
        return "saved-model" if (path / "saved_model.pb").is_file() else None
    if not path.is_file():
        return None
    if path.name == "saved_model.pb":
        return "saved-model"
    head, suffix = _head(path), path.suffix.lower()
    if head[4:8] == _IDENTIFIER or suffix in (".tflite", ".lite"):
        return "tflite"
    if head.startswith(_HDF5) or (head.startswith(_ZIP) and suffix == ".keras"):
        return "keras"
    return "frozen-graph" if suffix == ".pb" and _is_graph_def(path) else None


def read_tflite(path: Path) -> bytes:
    """The bytes of a TFLite file; an error that says what another file is instead."""
    data = read_model_file(path, too_large="no chip of the family holds such a network")
    if len(data) < 8 or data[4:8] != _IDENTIFIER:
        raise ModelError(
            "is not a TFLite model: it lacks the identifier TFL3",
            where=str(path),
            fix="export it with TensorFlow's TFLiteConverter",
        )
    return data


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(64)


def _is_graph_def(path: Path) -> bool:
    """Whether the file has the outer structure of a GraphDef; other protocol buffers that
    end in `.pb` (a SavedModel without its folder) differ in a field."""
    fields = protobuf_fields(path)
    return fields is not None and 1 in fields and fields.items() <= _GRAPH_DEF.items()
