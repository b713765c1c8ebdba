"""Attribute values as JSON and back, checked against the declared field types."""

from __future__ import annotations

import functools
import math
import types
import typing
from collections.abc import Hashable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from typing import Any

from cvi.errors import ModelError

_INT64 = 1 << 63
_SPECIAL = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}


def encode(value: Any) -> Any:
    """A value of a frozen attribute as plain JSON."""
    if isinstance(value, Enum):
        return value.value
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, tuple):
        return [encode(item) for item in value]
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: encode(getattr(value, f.name)) for f in fields(value)}
    if hasattr(value, "__index__"):
        return value.__index__()
    if hasattr(value, "__float__"):
        number = float(value)
        return number if math.isfinite(number) else str(number)
    raise TypeError(f"an attribute of type {type(value).__name__} cannot be saved")


def decode(data: Any, hint: Any, where: str) -> Any:
    """A JSON value as the declared type `hint`; ModelError when it does not fit."""
    origin = typing.get_origin(hint)
    if origin in (types.UnionType, typing.Union):
        return _decode_union(data, typing.get_args(hint), where)
    if origin is tuple:
        return _decode_tuple(data, typing.get_args(hint), where)
    if origin is typing.Literal and any(
        data == v and type(data) is type(v) for v in typing.get_args(hint)
    ):
        return data
    if hint is types.NoneType and data is None:
        return None
    if hint in (bool, str) and isinstance(data, hint):
        return data
    if hint is int and _is_int(data):
        return data
    if hint is float and (_is_int(data) or isinstance(data, float)):
        return float(data)
    if hint is float and isinstance(data, str) and data in _SPECIAL:
        return _SPECIAL[data]
    if isinstance(hint, type) and issubclass(hint, Enum):
        return _decode_enum(data, hint, where)
    if isinstance(hint, type) and is_dataclass(hint) and isinstance(data, dict):
        return decode_dataclass(data, hint, where)
    raise ModelError(f"{_shown(data)} is not of type {_type_name(hint)}", where=where)


def decode_dataclass(data: dict[str, Any], cls: type[Any], where: str, **given: Any) -> Any:
    """An instance of a dataclass from its fields; `given` fields are not read from data."""
    hints = field_types(cls)
    values = dict(given)
    for name in data:
        if name not in hints or name in given:
            raise ModelError(f"{cls.__name__} has no attribute {_shown(name)}", where=where)
        values[name] = decode(data[name], hints[name], f"{where}.{name}")
    for f in fields(cls):
        if f.name not in values and f.default is MISSING and f.default_factory is MISSING:
            raise ModelError(f"attribute {f.name!r} is missing", where=where)
    return cls(**values)


def field_types(cls: type[Any]) -> Mapping[str, Any]:
    """The declared types of a dataclass's fields."""
    return _field_types(typing.cast(Hashable, cls))


@functools.cache
def _field_types(cls: Hashable) -> Mapping[str, Any]:
    assert isinstance(cls, type) and is_dataclass(cls)
    hints = typing.get_type_hints(cls)
    return {f.name: hints[f.name] for f in fields(cls)}


def _decode_union(data: Any, members: tuple[Any, ...], where: str) -> Any:
    for member in members:
        try:
            return decode(data, member, where)
        except ModelError:
            continue
    names = " or ".join(_type_name(m) for m in members)
    raise ModelError(f"{_shown(data)} is not of type {names}", where=where)


def _decode_tuple(data: Any, members: tuple[Any, ...], where: str) -> tuple[Any, ...]:
    if not isinstance(data, list):
        raise ModelError(f"{_shown(data)} is not a list", where=where)
    if len(members) == 2 and members[1] is Ellipsis:
        members = (members[0],) * len(data)
    if len(members) != len(data):
        raise ModelError(f"has {len(data)} entries instead of {len(members)}", where=where)
    return tuple(decode(d, m, where) for d, m in zip(data, members, strict=True))


def _decode_enum(data: Any, cls: type[Enum], where: str) -> Enum:
    if isinstance(data, (str, int)):
        for member in cls:
            if member.value == data and type(member.value) is type(data):
                return member
    known = ", ".join(str(member.value) for member in cls)
    raise ModelError(f"{_shown(data)} is not one of {known}", where=where)


def _is_int(data: Any) -> bool:
    return isinstance(data, int) and not isinstance(data, bool) and -_INT64 <= data < _INT64


def _shown(data: Any) -> str:
    text = repr(data)
    return text if len(text) <= 40 else text[:37] + "..."


def _type_name(hint: Any) -> str:
    return "null" if hint is types.NoneType else getattr(hint, "__name__", str(hint))
