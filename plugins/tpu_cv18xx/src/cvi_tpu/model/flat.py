"""FlatBuffers by declaration: a table is a dataclass whose fields carry their kind.

`slot(kind, default)` declares a field; slots are numbered in order of declaration, as in
the schema. `read_root` turns bytes into such a dataclass and never trusts an offset or a
length: whatever the bytes, it returns or raises `ModelError`, and what it allocates is
bounded by the size of the buffer. `write_root` builds bytes with the flatbuffers
library; equal objects give equal bytes.
"""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, cast

from cvi.errors import ModelError

if TYPE_CHECKING:
    from flatbuffers import Builder

T = TypeVar("T")

_U16, _U32, _I32 = struct.Struct("<H"), struct.Struct("<I"), struct.Struct("<i")
_ALLOWANCE = 16
"""Bytes we may materialise per byte of the buffer: tables and strings may be shared."""


class Reader:
    """A buffer read at checked positions, with a budget against shared-table bombs."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._budget = _ALLOWANCE * len(data) + 65536

    def get(self, form: struct.Struct, position: int) -> Any:
        if position < 0 or position + form.size > len(self.data):
            raise ModelError("the description refers to a place outside of itself")
        return form.unpack_from(self.data, position)[0]

    def follow(self, position: int) -> int:
        """Target of the forward offset stored at `position`."""
        return position + int(self.get(_U32, position))

    def span(self, position: int, size: int) -> bytes:
        """`size` bytes at `position`."""
        if position < 0 or position + size > len(self.data):
            raise ModelError("a string or vector of the description runs over its end")
        self.spend(size)
        return self.data[position : position + size]

    def spend(self, size: int) -> None:
        self._budget -= size
        if self._budget < 0:
            raise ModelError("the description refers to the same data again and again")

    def slots(self, table: int) -> list[int]:
        """Positions of a table's fields by slot number, 0 where absent."""
        vtable = table - int(self.get(_I32, table))
        size = int(self.get(_U16, vtable))
        if size < 4 or size % 2:
            raise ModelError("a table of the description has a broken field list")
        entries = self.span(vtable, size)[4:]
        offsets = struct.unpack(f"<{len(entries) // 2}H", entries)
        return [table + offset if offset else 0 for offset in offsets]


class Kind(Protocol[T]):
    """How values of one kind are read and written. inline: stored in the table itself."""

    inline: bool

    def read(self, reader: Reader, position: int) -> T:
        """The value of the field at `position` of its table or vector."""

    def write(self, builder: Builder, value: T) -> int:
        """Store a value outside of its table; returns the place to refer to."""


@dataclass(frozen=True)
class Scalar(Generic[T]):
    """A number; enum: the class whose members stand for the numbers."""

    form: struct.Struct
    name: str
    enum: type[Enum] | None = None
    inline = True

    def read(self, reader: Reader, position: int) -> T:
        value = reader.get(self.form, position)
        if self.enum is None:
            return cast(T, value)
        try:
            return cast(T, self.enum(value))
        except ValueError:
            raise ModelError(f"{value} is no known {self.enum.__name__}") from None

    def write(self, builder: Builder, value: T) -> int:
        raise TypeError("scalars lie in their table")

    def number(self, value: T) -> Any:
        return value.value if isinstance(value, Enum) else value

    def put(self, builder: Builder, slot: int, value: T) -> None:
        """Store the value in the table under construction unless it is 0."""
        getattr(builder, f"Prepend{self.name}Slot")(slot, self.number(value), 0)

    def push(self, builder: Builder, value: T) -> None:
        """Store the value in the vector under construction."""
        getattr(builder, f"Prepend{self.name}")(self.number(value))


U8: Scalar[int] = Scalar(struct.Struct("<B"), "Uint8")
U32: Scalar[int] = Scalar(_U32, "Uint32")
I32: Scalar[int] = Scalar(_I32, "Int32")
I64: Scalar[int] = Scalar(struct.Struct("<q"), "Int64")
F32: Scalar[float] = Scalar(struct.Struct("<f"), "Float32")
BOOL: Scalar[bool] = Scalar(struct.Struct("<?"), "Bool")


def enum_u8(members: type[Enum]) -> Scalar[Any]:
    """An enumeration stored in one byte."""
    return Scalar(U8.form, "Uint8", members)


class Text:
    """A UTF-8 string."""

    inline = False

    def read(self, reader: Reader, position: int) -> str:
        at = reader.follow(position)
        raw = reader.span(at + 4, reader.get(_U32, at))
        try:
            return raw.decode()
        except UnicodeDecodeError:
            raise ModelError(f"a name of the description is no UTF-8 text: {raw[:40]!r}") from None

    def write(self, builder: Builder, value: str) -> int:
        return int(builder.CreateString(value))


class Blob:
    """A vector of bytes."""

    inline = False

    def read(self, reader: Reader, position: int) -> bytes:
        at = reader.follow(position)
        return reader.span(at + 4, reader.get(_U32, at))

    def write(self, builder: Builder, value: bytes) -> int:
        return int(builder.CreateByteVector(value))


@dataclass(frozen=True)
class Vector(Generic[T]):
    """A vector of scalars, strings or tables, held as a tuple."""

    kind: Kind[T]
    inline = False

    def read(self, reader: Reader, position: int) -> tuple[T, ...]:
        at = reader.follow(position)
        size = self.kind.form.size if isinstance(self.kind, Scalar) else 4
        count = int(reader.get(_U32, at))
        reader.span(at + 4, count * size)
        return tuple(self.kind.read(reader, at + 4 + i * size) for i in range(count))

    def write(self, builder: Builder, value: Sequence[T]) -> int:
        kind = self.kind
        if isinstance(kind, Scalar):
            builder.StartVector(kind.form.size, len(value), kind.form.size)
            for item in reversed(value):
                kind.push(builder, item)
            return int(builder.EndVector())
        places = [kind.write(builder, item) for item in value]
        builder.StartVector(4, len(places), 4)
        for place in reversed(places):
            builder.PrependUOffsetTRelative(place)
        return int(builder.EndVector())


@dataclass(frozen=True)
class Bytes3:
    """A struct of three bytes, e.g. a version."""

    inline = True

    def read(self, reader: Reader, position: int) -> tuple[int, int, int]:
        major, minor, sub = reader.span(position, 3)
        return major, minor, sub

    def write(self, builder: Builder, value: tuple[int, int, int]) -> int:
        builder.Prep(1, 3)
        for byte in reversed(value):
            builder.PrependUint8(byte)
        return int(builder.Offset())


@dataclass(frozen=True)
class Boxed(Generic[T]):
    """A table with one field, held as that field's value."""

    kind: Kind[T]
    inline = False

    def read(self, reader: Reader, position: int) -> T:
        slots = reader.slots(reader.follow(position))
        if not slots or not slots[0]:
            raise ModelError("a table of the description lacks its only field")
        return self.kind.read(reader, slots[0])

    def write(self, builder: Builder, value: T) -> int:
        place = self.kind.write(builder, value)
        builder.StartObject(1)
        builder.PrependUOffsetTRelativeSlot(0, place, 0)
        return int(builder.EndObject())


_REQUIRED: Any = object()


def slot(kind: Kind[Any], default: Any = _REQUIRED) -> Any:
    """Declare the next field of a table; without a default the field must be present."""
    metadata = {"kind": kind}
    if default is _REQUIRED:
        return dataclasses.field(metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def _slots(table: type[Any]) -> list[dataclasses.Field[Any]]:
    return [field for field in dataclasses.fields(table) if "kind" in field.metadata]


@dataclass(frozen=True)
class Table(Generic[T]):
    """A table, held as an object of the dataclass that declares it."""

    of: type[T]
    inline = False

    def read(self, reader: Reader, position: int) -> T:
        return self.read_at(reader, reader.follow(position))

    def read_at(self, reader: Reader, table: int) -> T:
        slots = reader.slots(table)
        values: dict[str, Any] = {}
        for field, at in zip(_slots(self.of), slots, strict=False):
            if at:
                values[field.name] = field.metadata["kind"].read(reader, at)
        for field in _slots(self.of):
            if field.name not in values and field.default is dataclasses.MISSING:
                raise ModelError(f"{self.of.__name__} has no {field.name} in the description")
        return self.of(**values)

    def write(self, builder: Builder, value: T) -> int:
        fields = [(i, f.metadata["kind"], getattr(value, f.name)) for i, f in
                  enumerate(_slots(self.of))]  # fmt: skip
        present = [(i, kind, v) for i, kind, v in fields if v is not None]
        places = {i: kind.write(builder, v) for i, kind, v in present if not kind.inline}
        builder.StartObject(len(fields))
        for i, place in places.items():
            builder.PrependUOffsetTRelativeSlot(i, place, 0)
        for i, kind, v in present:
            if isinstance(kind, Scalar):
                kind.put(builder, i, v)
            elif kind.inline:
                builder.PrependStructSlot(i, kind.write(builder, v), 0)
        return int(builder.EndObject())


def read_root(data: bytes, table: type[T]) -> T:
    """The root table of a buffer; ModelError when the buffer is broken."""
    reader = Reader(data)
    return Table(table).read_at(reader, reader.follow(0))


def write_root(value: object) -> bytes:
    """A buffer with `value` as its root table; its size is a multiple of 8."""
    from flatbuffers import Builder

    builder = Builder(1024)
    builder.Finish(Table(type(value)).write(builder, value))
    data = bytes(builder.Output())
    return data + bytes(-len(data) % 8)
