"""The message classes of `caffe.proto`, made when they are first asked for.

The file is read here instead of by protoc: no generated code, no dependence on a version
of protobuf, and a pool of our own, in which other packages' `caffe.proto` does not clash.
Only what our file uses is understood: proto2 messages and enums, nested or not, with the
options `default` and `packed`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from importlib import resources
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from google.protobuf.descriptor_pb2 import (
        DescriptorProto,
        EnumDescriptorProto,
        FieldDescriptorProto,
        FileDescriptorProto,
    )

PACKAGE = "cvi.caffe"
FILE = "caffe.proto"

_TOKEN = re.compile(r'"[^"]*"|[\w.+-]+|[{}\[\]=;,]')
_COMMENT = re.compile(r"//.*")
_LABELS = {"optional": 1, "required": 2, "repeated": 3}
_SCALARS = {
    "double": 1, "float": 2, "int64": 3, "int32": 5, "bool": 8, "string": 9, "bytes": 12,
    "uint32": 13,
}  # fmt: skip
_MESSAGE, _ENUM = 11, 14


def message(name: str) -> Any:
    """A new message of that name, e.g. `NetParameter`."""
    return classes()[name]()


@functools.cache
def classes() -> Mapping[str, Any]:
    """Every message class by its name."""
    from google.protobuf import descriptor_pool, message_factory

    pool = descriptor_pool.DescriptorPool()
    file = file_descriptor(resources.files(__package__).joinpath(FILE).read_text("utf-8"))
    pool.AddSerializedFile(file.SerializeToString())
    return {
        m.name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{m.name}"))
        for m in file.message_type
    }


def is_repeated(field: Any) -> bool:
    """Whether a field of a message class is a list; protobuf has changed how it says so."""
    told = getattr(field, "is_repeated", None)
    return bool(told) if told is not None else field.label == _LABELS["repeated"]


def file_descriptor(text: str) -> FileDescriptorProto:
    """The descriptor of a `.proto` file, as protoc gives it."""
    from google.protobuf import descriptor_pb2

    file = descriptor_pb2.FileDescriptorProto(name=FILE, package=PACKAGE)
    tokens = iter(_TOKEN.findall(_COMMENT.sub("", text)))
    for token in tokens:
        if token == "message":
            _read_message(tokens, file.message_type.add())
        elif token == "enum":
            _read_enum(tokens, file.enum_type.add())
        else:  # syntax = "proto2"; package …;
            _until(tokens, ";")
    _resolve(file)
    return file


def _until(tokens: Iterator[str], end: str) -> list[str]:
    """The tokens before `end`, which is consumed."""
    found = []
    for token in tokens:
        if token == end:
            break
        found.append(token)
    return found


def _read_message(tokens: Iterator[str], into: DescriptorProto) -> None:
    into.name, _ = next(tokens), next(tokens)
    for token in tokens:
        if token == "}":
            return
        if token == "enum":
            _read_enum(tokens, into.enum_type.add())
        else:
            _read_field(token, _until(tokens, ";"), into.field.add())


def _read_enum(tokens: Iterator[str], into: EnumDescriptorProto) -> None:
    into.name, _ = next(tokens), next(tokens)
    words = _until(tokens, "}")
    for name, number in zip(words[::4], words[2::4], strict=True):
        into.value.add(name=name, number=int(number))


def _read_field(label: str, words: list[str], into: FieldDescriptorProto) -> None:
    """`label type name = number [key = value, …]`, without the label."""
    kind, into.name, _, number, *options = words
    into.label = _LABELS[label]
    into.number = int(number)
    if kind in _SCALARS:
        into.type = _SCALARS[kind]
    else:
        into.type_name = kind
    for key, value in zip(options[1::4], options[3::4], strict=True):
        if key == "default":
            into.default_value = value.strip('"')
        else:
            into.options.packed = value == "true"


def _resolve(file: FileDescriptorProto) -> None:
    """Full names and kinds of the types that fields refer to."""
    enums = {e.name for e in file.enum_type}
    inner = {f"{m.name}.{e.name}" for m in file.message_type for e in m.enum_type}
    for outer in file.message_type:
        for field in outer.field:
            if field.type_name:
                nested = f"{outer.name}.{field.type_name}"
                name = nested if nested in inner else field.type_name
                field.type = _ENUM if name in enums | inner else _MESSAGE
                field.type_name = f".{PACKAGE}.{name}"
