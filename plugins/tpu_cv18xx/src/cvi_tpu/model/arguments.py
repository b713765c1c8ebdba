# ruff: noqa: RUF009  `slot` declares a field
"""Arguments of CPU routines: a FlatBuffer of its own inside the file (FACTS_CVIMODEL 6).

The runtime checks types exactly: an int where it wants a float aborts it. So Python's
int, float, bool and str, and the typed arrays below, map to one attribute kind each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cvi.errors import ModelError
from cvi_tpu.model.flat import BOOL, F32, I32, Table, Text, Vector, read_root, slot, write_root


@dataclass(frozen=True)
class Ints:
    """An array of 32-bit integers."""

    values: tuple[int, ...]


@dataclass(frozen=True)
class Floats:
    """An array of fp32 numbers."""

    values: tuple[float, ...]


Value = bool | int | str | float | Ints | Floats
"""In this order the IR file tells them apart: "inf" is a str before it is a float."""


@dataclass(frozen=True, kw_only=True)
class _Float:
    key: str = slot(Text())
    value: float = slot(F32, 0.0)


@dataclass(frozen=True, kw_only=True)
class _Bool:
    key: str = slot(Text())
    value: bool = slot(BOOL, False)


@dataclass(frozen=True, kw_only=True)
class _Int:
    key: str = slot(Text())
    value: int = slot(I32, 0)


@dataclass(frozen=True, kw_only=True)
class _Str:
    key: str = slot(Text())
    value: str = slot(Text())


@dataclass(frozen=True, kw_only=True)
class _Floats:
    key: str = slot(Text())
    value: tuple[float, ...] = slot(Vector(F32))


@dataclass(frozen=True, kw_only=True)
class _Ints:
    key: str = slot(Text())
    value: tuple[int, ...] = slot(Vector(I32))


@dataclass(frozen=True, kw_only=True)
class _Attribute:
    """Exactly one of the fields is present."""

    float_attr: _Float | None = slot(Table(_Float), None)
    bool_attr: _Bool | None = slot(Table(_Bool), None)
    int_attr: _Int | None = slot(Table(_Int), None)
    str_attr: _Str | None = slot(Table(_Str), None)
    float_array_attr: _Floats | None = slot(Table(_Floats), None)
    int_array_attr: _Ints | None = slot(Table(_Ints), None)


@dataclass(frozen=True, kw_only=True)
class _Parameter:
    attributes: tuple[_Attribute, ...] = slot(Vector(Table(_Attribute)), ())


def encode_arguments(arguments: Mapping[str, Value]) -> bytes:
    """The bytes of a CPU routine's arguments, in the mapping's order."""
    attributes = tuple(_attribute(key, value) for key, value in arguments.items())
    return write_root(_Parameter(attributes=attributes))


def _attribute(key: str, value: Value) -> _Attribute:
    if isinstance(value, bool):
        return _Attribute(bool_attr=_Bool(key=key, value=value))
    if isinstance(value, int):
        return _Attribute(int_attr=_Int(key=key, value=value))
    if isinstance(value, float):
        return _Attribute(float_attr=_Float(key=key, value=value))
    if isinstance(value, str):
        return _Attribute(str_attr=_Str(key=key, value=value))
    if isinstance(value, Ints):
        return _Attribute(int_array_attr=_Ints(key=key, value=value.values))
    return _Attribute(float_array_attr=_Floats(key=key, value=value.values))


def decode_arguments(data: bytes) -> dict[str, Value]:
    """The arguments of a CPU routine by key; ModelError when the bytes are broken."""
    if not data:
        return {}
    return dict(_pair(a) for a in read_root(data, _Parameter).attributes)


def _pair(attribute: _Attribute) -> tuple[str, Value]:
    given: list[Any] = [v for v in vars(attribute).values() if v is not None]
    if len(given) != 1:
        raise ModelError(f"an argument of a CPU function has {len(given)} values, not one")
    value = given[0].value
    if isinstance(given[0], _Ints):
        value = Ints(value)
    elif isinstance(given[0], _Floats):
        value = Floats(value)
    return given[0].key, value
