"""Options declared once as a dataclass and shared by several commands."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar, get_type_hints

R = TypeVar("R")


def grouped(function: Callable[..., R]) -> Callable[..., R]:
    """A function for Typer in which every dataclass parameter stands for its fields.

    A parameter annotated with a dataclass is replaced by one parameter per field, with
    the field's annotation and default; when called, the fields are put together again.
    """
    hints = get_type_hints(function, include_extras=True)
    groups: dict[str, Any] = {
        n: t for n, t in hints.items() if n != "return" and dataclasses.is_dataclass(t)
    }
    parameters: dict[str, inspect.Parameter] = {}
    for name, parameter in inspect.signature(function).parameters.items():
        group = groups.get(name)
        for part in _fields(group) if group else (parameter.replace(annotation=hints[name]),):
            if part.name in parameters:
                raise TypeError(f"{function.__name__} has two options {part.name!r}")
            parameters[part.name] = part.replace(kind=inspect.Parameter.KEYWORD_ONLY)

    @functools.wraps(function)
    def call(**values: Any) -> R:
        for name, group in groups.items():
            fields = [f.name for f in dataclasses.fields(group)]
            values[name] = group(**{field: values.pop(field) for field in fields})
        return function(**values)

    call.__signature__ = inspect.Signature(list(parameters.values()))  # type: ignore[attr-defined]
    call.__annotations__ = {n: p.annotation for n, p in parameters.items()}
    del call.__wrapped__
    return call


def _fields(group: Any) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=_default(field),
            annotation=hints[field.name],
        )
        for field in dataclasses.fields(group)
    ]


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default is not dataclasses.MISSING:
        return field.default
    return inspect.Parameter.empty
