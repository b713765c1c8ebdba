"""Bit layouts: a field has a name, a position, a width and a default."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Field:
    """Bits [bit, bit+width) of a descriptor, counted from bit 0 of word 0."""

    name: str
    bit: int
    width: int
    default: int = 0


@dataclass(frozen=True)
class Layout:
    """The fields of one descriptor of `words` 32-bit words."""

    name: str
    words: int
    fields: tuple[Field, ...]
