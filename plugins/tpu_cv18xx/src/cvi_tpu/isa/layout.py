"""Bit layouts: a field has a name, a position, a width and a default.

The engine below turns named values into descriptor bytes and back; everything that
differs between chips is in the tables it is given. A value that does not fit its field is
an error, never masked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from cvi_tpu.isa.errors import InstructionError


@dataclass(frozen=True)
class Field:
    """Bits [bit, bit+width) of a descriptor, counted from bit 0 of word 0.

    signed: negative values are accepted and stored in two's complement; the positive
    range stays that of an unsigned field.
    """

    name: str
    bit: int
    width: int
    default: int = 0
    signed: bool = False

    @property
    def lowest(self) -> int:
        return -(1 << (self.width - 1)) if self.signed else 0

    @property
    def highest(self) -> int:
        return (1 << self.width) - 1


class _Slot(NamedTuple):
    bit: int
    lowest: int
    highest: int
    hole: int  # every bit of the descriptor but the field's


@dataclass(frozen=True)
class Layout:
    """The fields of one descriptor of `words` 32-bit words.

    aliases: (neutral name, field name) pairs; instructions are translated to neutral
    names, and two neutral names may share a field on a chip that has only one.
    """

    name: str
    words: int
    fields: tuple[Field, ...]
    aliases: tuple[tuple[str, str], ...] = ()

    def __contains__(self, name: str) -> bool:
        return name in self._slots

    @property
    def size(self) -> int:
        """Length of a descriptor in bytes."""
        return 4 * self.words

    def pack(self, values: Mapping[str, int]) -> bytes:
        """Descriptor with the given fields; all others keep their defaults.

        InstructionError names an unknown field, or the field, value and range of a value
        that does not fit.
        """
        descriptor, slots = self._defaults, self._slots
        for name, value in values.items():
            slot = slots.get(name)
            if slot is None:
                raise InstructionError(f"{self.name} has no field {name}")
            bit, lowest, highest, hole = slot
            if not lowest <= value <= highest:
                raise InstructionError(
                    f"field {name} of {self.name} holds {lowest} to {highest}, not {value}"
                )
            descriptor = (descriptor & hole) | ((value & highest) << bit)
        return descriptor.to_bytes(self.size, "little")

    def unpack(self, data: bytes) -> dict[str, int]:
        """All fields as unsigned numbers, under their neutral names where they have one.

        InstructionError when `data` has not the length of the descriptor.
        """
        if len(data) != self.size:
            raise InstructionError(f"{self.name} has {self.size} bytes, not {len(data)}")
        descriptor = int.from_bytes(data, "little")
        return {name: (descriptor >> bit) & mask for name, bit, mask in self._readers}

    def problems(self) -> list[str]:
        """What is wrong with the table itself: overlaps, overflow, holes, doubled names."""
        found: list[str] = []
        owner: dict[int, str] = {}
        for field in self.fields:
            for bit in range(field.bit, field.bit + field.width):
                if bit in owner:
                    found.append(f"{field.name} overlaps {owner[bit]} at bit {bit}")
                owner[bit] = field.name
            if not 0 <= field.default <= field.highest:
                found.append(f"default of {field.name} does not fit")
        if set(owner) != set(range(32 * self.words)):
            found.append(f"the fields do not fill {self.words} words")
        names = [field.name for field in self.fields]
        found += [f"{name} appears twice" for name in sorted(set(names)) if names.count(name) > 1]
        found += [f"alias {a} of an unknown field {f}" for a, f in self.aliases if f not in names]
        found += [f"alias {a} is also a field" for a, _ in self.aliases if a in names]
        return found

    @cached_property
    def _by_name(self) -> dict[str, Field]:
        return {field.name: field for field in self.fields}

    @cached_property
    def _slots(self) -> dict[str, _Slot]:
        everything = (1 << (32 * self.words)) - 1
        slots = {
            field.name: _Slot(
                field.bit,
                field.lowest,
                field.highest,
                everything ^ (field.highest << field.bit),
            )
            for field in self.fields
        }
        slots.update({alias: slots[name] for alias, name in self.aliases})
        return slots

    @cached_property
    def _readers(self) -> tuple[tuple[str, int, int], ...]:
        renamed = {name for _, name in self.aliases}
        named = [(field.name, field) for field in self.fields if field.name not in renamed]
        named += [(alias, self._by_name[name]) for alias, name in self.aliases]
        return tuple((name, field.bit, field.highest) for name, field in named)

    @cached_property
    def _defaults(self) -> int:
        return sum(field.default << field.bit for field in self.fields)


def packed(
    name: str,
    words: int,
    table: str,
    *,
    aliases: Mapping[str, str] | None = None,
    signed: frozenset[str] = frozenset(),
) -> Layout:
    """Layout whose fields follow each other without holes from bit 0.

    table: one field per line: name, width, default (0 when left out). signed: fields that
    take negative values.
    """
    fields: list[Field] = []
    bit = 0
    for line in table.split("\n"):
        if not line.strip():
            continue
        field, width, default = [*line.split(), "0"][:3]
        fields.append(Field(field, bit, int(width), int(default), field in signed))
        bit += int(width)
    return Layout(name, words, tuple(fields), tuple((aliases or {}).items()))
