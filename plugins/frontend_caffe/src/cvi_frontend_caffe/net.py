"""A Caffe network as it is written: layers of the newest kind, in the order of the file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cvi.content import read_model_file
from cvi.errors import ModelError
from cvi.ir import Shape
from cvi_frontend_caffe import schema
from cvi_frontend_caffe.schema import is_repeated
from cvi_frontend_caffe.text import TextFile, Unknown, read_text
from cvi_frontend_caffe.upgrade import network_inputs, upgraded

_SOLVER = ("base_lr", "lr_policy", "max_iter", "solver_type", "train_net", "test_net")


@dataclass(frozen=True)
class NetLayer:
    """One layer of the file.

    proto: its `LayerParameter`. line: where it begins, 0 in a binary file. unknown: what the
    text says of it that we do not know.
    """

    proto: Any
    line: int = 0
    unknown: tuple[Unknown, ...] = ()
    name: str = field(init=False)
    type: str = field(init=False)
    bottoms: tuple[str, ...] = field(init=False)
    tops: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        for name in ("name", "type"):
            object.__setattr__(self, name, str(getattr(self.proto, name)))
        object.__setattr__(self, "bottoms", tuple(map(str, self.proto.bottom)))
        object.__setattr__(self, "tops", tuple(map(str, self.proto.top)))

    @property
    def results(self) -> tuple[str, ...]:
        """How its results are called: like the layer, numbered if there are several."""
        count = len(self.tops)
        return (self.name,) if count < 2 else tuple(f"{self.name}_{i}" for i in range(count))

    @property
    def where(self) -> str:
        """How a user finds the layer: type, name and line."""
        line = f" (line {self.line})" if self.line else ""
        return f"{self.type or 'layer'} {self.name!r}{line}"


@dataclass(frozen=True)
class Net:
    """A network for inference.

    inputs: those declared outside of layers, by blob. layers: those of the phase TEST.
    unknown: fields of the text that stand in no layer. count: layers of all phases.
    """

    name: str
    inputs: Mapping[str, Shape]
    layers: Sequence[NetLayer]
    unknown: tuple[Unknown, ...] = ()
    count: int = 0


def read_net(path: Path) -> Net:
    """The network of a `.prototxt` or `.caffemodel` file. CviError when there is none."""
    from cvi_frontend_caffe.phase import for_inference

    data = read_model_file(path)
    proto, file = _from_text(data) if is_text(data) else (_from_bytes(data), TextFile())
    try:
        _read_all(proto)
        kind = "layers" if proto.layers else "layer"
        _check_kind(proto, file)
        layers = [
            NetLayer(
                upgraded(layer) if kind == "layers" else layer,
                line=file.lines[kind][i] if kind in file.lines else 0,
                unknown=tuple(u for u in file.unknown if u.entry == i),
            )
            for i, layer in enumerate(getattr(proto, kind))
        ]
        for layer in layers:
            _check_texts(layer)
        kept = [layer for layer in layers if for_inference(layer.proto, proto.state, layer.where)]
        outside = tuple(u for u in file.unknown if u.entry < 0)
        return Net(str(proto.name), network_inputs(proto), kept, outside, len(layers))
    except UnicodeDecodeError as error:
        raise _no_text() from error


def is_text(data: bytes) -> bool:
    """Whether the bytes are text rather than a binary file."""
    return not any(byte < 9 or 13 < byte < 32 for byte in data[:65536])


def _from_text(data: bytes) -> tuple[Any, TextFile]:
    proto = schema.message("NetParameter")
    file = read_text(data.decode("utf-8-sig", "replace"), proto)
    solver = [u for u in file.unknown if u.name in _SOLVER]
    if solver and not proto.layer and not proto.layers:
        raise ModelError(
            f"describes a training ({solver[0].name}), not a network",
            fix="give the .prototxt that it names as `net`",
        )
    return proto, file


def _from_bytes(data: bytes) -> Any:
    from google.protobuf.message import DecodeError

    try:
        return schema.classes()["NetParameter"].FromString(data)
    except (DecodeError, RecursionError, ValueError) as error:
        raise ModelError(
            "is no Caffe network, or it is broken or cut off",
            fix="give the .prototxt as the model and this file with --weights, "
            "or download it again",
        ) from error


def _read_all(message: Any) -> None:
    """ModelError for a text that is none; protobuf gives bytes for it, or an error at last."""
    for known, value in message.ListFields():
        values = value if is_repeated(known) else (value,)
        if known.message_type is not None:
            for inner in values:
                _read_all(inner)
        elif known.type == known.TYPE_STRING and not all(isinstance(v, str) for v in values):
            raise _no_text()


def _no_text() -> ModelError:
    return ModelError("holds a name that is no text", fix="the file is damaged: download it again")


def _check_kind(proto: Any, file: TextFile) -> None:
    """Either old layers or new ones, and at least one."""
    if proto.layer and proto.layers:
        raise ModelError("mixes `layer` and `layers`", fix="use one of the two")
    if not proto.layer and not proto.layers:
        unknown = ", ".join(sorted({u.name for u in file.unknown})[:5])
        hint = f"; it has fields that Caffe does not: {unknown}" if unknown else ""
        raise ModelError(f"holds no layers{hint}", fix="give the .prototxt of a Caffe network")


def _check_texts(layer: NetLayer) -> None:
    """ModelError when a name is not printable (a sign of a damaged file)."""
    for text in (layer.name, layer.type, *layer.bottoms, *layer.tops):
        if any(c < " " or c == "\x7f" for c in text):
            raise ModelError(
                f"the name {text!r} is not printable text", fix="download the file again"
            )
