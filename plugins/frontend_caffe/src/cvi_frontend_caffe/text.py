"""Reads protobuf's text format (`.prototxt`) into messages, keeping the lines.

As protobuf's own reader, but fields and enumerators that our `caffe.proto` does not know
are skipped and reported, each with its name and line, and it is known where layers begin.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from cvi_frontend_caffe.literals import broken, integer, number, shown, unquoted
from cvi_frontend_caffe.schema import is_repeated
from cvi_frontend_caffe.tokens import Token, Tokens

_DEPTH = 32
_PAIRS = {"{": "}", "<": ">"}
_TRUE, _FALSE = ("true", "True", "t", "1"), ("false", "False", "f", "0")
_UNIMPORTANT = ("engine", "backend")
"""Enumerations whose value does not change what a layer computes."""
_RANGES = {
    "int32": (-(1 << 31), (1 << 31) - 1),
    "uint32": (0, (1 << 32) - 1),
    "int64": (-(1 << 63), (1 << 63) - 1),
}


@dataclass(frozen=True)
class Unknown:
    """A field or enumerator that we do not know.

    name: in full, e.g. `layer.pooling_param.pool: MEDIAN`. entry: the index of the layer it
    stands in, -1 outside. essential: the value of a field that we do know, so that the
    layer's meaning is not known without it.
    """

    name: str
    line: int
    entry: int = -1
    essential: bool = False


@dataclass
class TextFile:
    """What a text holds besides the message.

    lines: for every repeated top-level message field, the line at which each entry begins.
    """

    unknown: list[Unknown] = field(default_factory=list)
    lines: dict[str, list[int]] = field(default_factory=dict)


def read_text(text: str, into: Any) -> TextFile:
    """Fill a message from its text form; ModelError with the line when it is malformed."""
    file = TextFile()
    _Reader(Tokens(text), file).fields(into, end="", path="", depth=0)
    return file


class _Reader:
    def __init__(self, tokens: Tokens, file: TextFile) -> None:
        self._tokens = tokens
        self._file = file
        self._entry = -1

    def fields(self, into: Any, *, end: str, path: str, depth: int) -> None:
        """Fields of a message up to the closing sign `end` ("": the end of the text)."""
        if depth > _DEPTH:
            broken(self._tokens.next, f"messages are nested more than {_DEPTH} deep")
        while True:
            if self._tokens.skip(",", ";"):
                continue
            token = self._tokens.take()
            if token.kind == "end" and not end:
                return
            if token.kind == "sign" and token.text == end:
                return
            if token.kind != "word":
                wanted = f"a field or {end!r}" if end else "a field"
                broken(token, f"{shown(token)} stands where {wanted} should")
            self._field(into, token, path, depth)

    def _field(self, into: Any, name: Token, path: str, depth: int) -> None:
        full = f"{path}.{name.text}" if path else name.text
        known = into.DESCRIPTOR.fields_by_name.get(name.text)
        colon = bool(self._tokens.skip(":"))
        if known is None:
            self._file.unknown.append(Unknown(full, name.line, self._entry))
            self._skip_value(name, colon, depth)
        elif self._tokens.skip("["):
            if is_repeated(known):
                self._list(into, known, name, full, depth)
            else:
                broken(name, f"{full} takes one value, not a list")
        else:
            self._value(into, known, name, full, depth)

    def _list(self, into: Any, known: Any, name: Token, full: str, depth: int) -> None:
        while not self._tokens.skip("]"):
            self._value(into, known, name, full, depth)
            if not self._tokens.skip(",") and self._tokens.next.text != "]":
                broken(self._tokens.next, f"the list {full} is not closed")

    def _value(self, into: Any, known: Any, name: Token, full: str, depth: int) -> None:
        if not is_repeated(known) and into.HasField(known.name):
            broken(name, f"{full} is given twice")
        if known.message_type is not None:
            opening = self._tokens.skip(*_PAIRS)
            if not opening:
                broken(name, f"{full} needs {{ … }} but has {shown(self._tokens.next)}")
            if not depth:
                self._begin_entry(known, name)
            self.fields(_inner(into, known), end=_PAIRS[opening], path=full, depth=depth + 1)
            self._entry = self._entry if depth else -1
            return
        value = self._scalar(known, full)
        if value is None:
            return
        if is_repeated(known):
            getattr(into, known.name).append(value)
        else:
            setattr(into, known.name, value)

    def _begin_entry(self, known: Any, name: Token) -> None:
        if is_repeated(known):
            lines = self._file.lines.setdefault(known.name, [])
            self._entry = len(lines)
            lines.append(name.line)

    def _scalar(self, known: Any, full: str) -> Any:
        """The next value as the field's type; None for an enumerator that we do not know."""
        token = self._tokens.take()
        if token.kind in ("sign", "end"):
            broken(token, f"{full} has no value")
        if known.enum_type is not None:
            return self._enumerator(known, token, full)
        kind = _kind(known)
        if kind == "string":
            return self._string(token, full)
        if kind == "bool":
            if token.text in _TRUE or token.text in _FALSE:
                return token.text in _TRUE
            broken(token, f"{full} is true or false, not {shown(token)}")
        if kind == "float":
            return number(token, full)
        if kind in _RANGES:
            return integer(token, full, *_RANGES[kind])
        broken(token, f"{full}: weights in text form are not supported")

    def _enumerator(self, known: Any, token: Token, full: str) -> int | None:
        values = known.enum_type.values_by_name
        if token.text in values:
            return int(values[token.text].number)
        if token.kind == "number" and token.text.isdigit():
            number = int(token.text)
            if number in known.enum_type.values_by_number:
                return number
        essential = known.name not in _UNIMPORTANT
        unknown = Unknown(f"{full}: {token.text}", token.line, self._entry, essential)
        self._file.unknown.append(unknown)
        return None

    def _string(self, token: Token, full: str) -> str:
        if token.kind != "string":
            broken(token, f"{full} is a text in quotes, not {shown(token)}")
        parts = [unquoted(token)]
        while self._tokens.next.kind == "string":
            parts.append(unquoted(self._tokens.take()))
        return "".join(parts)

    def _skip_value(self, name: Token, colon: bool, depth: int) -> None:
        """The value of an unknown field: a scalar, a message or a list of either."""
        if depth > _DEPTH:
            broken(name, f"messages are nested more than {_DEPTH} deep")
        if self._tokens.skip("["):
            while not self._tokens.skip("]"):
                self._skip_value(name, colon, depth + 1)
                self._tokens.skip(",")
            return
        opening = self._tokens.skip(*_PAIRS)
        if opening:
            self._skip_message(name, _PAIRS[opening], depth)
            return
        token = self._tokens.take()
        if token.kind in ("sign", "end") or not colon:
            broken(token, f"{name.text} has no value")
        while token.kind == "string" and self._tokens.next.kind == "string":
            self._tokens.take()

    def _skip_message(self, name: Token, end: str, depth: int) -> None:
        while not self._tokens.skip(end):
            if self._tokens.skip(",", ";"):
                continue
            token = self._tokens.take()
            if token.kind != "word":
                broken(token, f"{shown(token)} stands where a field or {end!r} should")
            self._skip_value(token, bool(self._tokens.skip(":")), depth + 1)


def _inner(into: Any, known: Any) -> Any:
    """The message in a field, new or made present."""
    inner = getattr(into, known.name)
    if is_repeated(known):
        return inner.add()
    inner.SetInParent()
    return inner


def _kind(known: Any) -> str:
    """The name of a scalar type as `caffe.proto` has it."""
    return {2: "float", 3: "int64", 5: "int32", 8: "bool", 9: "string", 13: "uint32"}.get(
        known.type, "bytes"
    )
