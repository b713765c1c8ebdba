"""Damages files: each function gives a changed copy of some bytes, by a random generator.

`flipped` … `doubled` know nothing of a format; `words_changed` is for binary tables,
`text_changed` for lines, `json_changed` for JSON, `onnx_changed` for ONNX fields; those
behind it are for cvimodels.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from onnx import ModelProto

Mutator = Callable[[bytes, random.Random], bytes]


def flipped(data: bytes, rng: random.Random) -> bytes:
    """One to eight changed bits."""
    mutant = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8))):
        mutant[rng.randrange(len(mutant))] ^= 1 << rng.randrange(8)
    return bytes(mutant)


def truncated(data: bytes, rng: random.Random) -> bytes:
    """The beginning of the file."""
    return data[: rng.randrange(len(data))]


def inserted(data: bytes, rng: random.Random) -> bytes:
    """Some random bytes too many."""
    at = rng.randrange(len(data))
    return data[:at] + rng.randbytes(rng.randrange(1, 9)) + data[at:]


def doubled(data: bytes, rng: random.Random) -> bytes:
    """A part twice."""
    a, b = sorted(rng.randrange(len(data)) for _ in range(2))
    return data[:b] + data[a:b] + data[b:]


ANY_FORMAT: Sequence[Mutator] = (flipped, truncated, inserted, doubled)

WORDS = [0, 1, 0x7FFFFFFF, 0xFFFFFFFF, 1 << 20]


def words_changed(data: bytes, rng: random.Random) -> bytes:
    """A few changed bits, bytes or 32-bit words, or some bytes missing."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(out) - 4)
        kind = rng.randrange(4)
        if kind == 0:
            out[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            struct.pack_into("<I", out, at, rng.choice(WORDS))
        elif kind == 2:
            out[at] = rng.randrange(256)
        else:
            del out[at : at + rng.randint(1, 8)]
    return bytes(out)


def text_changed(data: bytes, rng: random.Random) -> bytes:
    """A few bytes of lines with words and numbers changed, missing, inserted or doubled."""
    mutant = bytearray(data)
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(mutant))
        match rng.randrange(4):
            case 0:
                mutant[at] = rng.randrange(256)
            case 1:
                del mutant[at : at + rng.randint(1, 20)]
            case 2:
                mutant[at:at] = rng.choice([b"\n", b" ", b"\r", b"-", b"e", b"nan", b"\0"])
            case _:
                mutant[at:at] = mutant[: rng.randint(1, 60)]
        mutant = mutant or bytearray(b"x")
    return bytes(mutant)


def json_changed(data: bytes, rng: random.Random) -> bytes:
    """A few random changes, some of them of JSON's own characters."""
    out = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 8])):
        at = rng.randrange(len(out))
        kind = rng.randrange(5)
        if kind == 0:
            out[at] = rng.randrange(256)
        elif kind == 1:
            del out[at : at + rng.choice([1, 4, 100])]
        elif kind == 2:
            out[at:at] = rng.choice([b"-", b"9", b"[", b"]", b'"', b"null", b"1e999", b"9" * 30])
        elif kind == 3:
            digits = [i for i, byte in enumerate(out[:4000]) if chr(byte).isdigit()]
            out[rng.choice(digits or [at])] = ord(rng.choice("0123456789"))
        else:
            del out[at:]
        if not out:
            return b""
    return bytes(out)


def digit_changed(data: bytes, rng: random.Random) -> bytes:
    """One digit of a text is another one, or stands twice."""
    out = bytearray(data)
    at = rng.choice([i for i, byte in enumerate(out) if chr(byte).isdigit()])
    out[at : at + rng.randrange(2)] = rng.choice(b"0123456789").to_bytes(1, "big")
    return bytes(out)


# -- ONNX ---------------------------------------------------------------------------------

STRANGE: dict[type, list[Any]] = {
    int: [0, -1, 1, 2, 7, 10**6, 2**31 - 1, -(2**31)],
    float: [0.0, -1.0, float("nan"), float("inf"), 1e30],
    str: ["", "x", "a", "y", "Conv", "Reshape", "Ωmega", "w"],
    bytes: [b"", b"\xff\xfe", b"nearest", b"SAME_UPPER", bytes(8)],
    bool: [True, False],
}
"""Values of a type that a field of a file may take, but rarely does."""


def messages(proto: Any) -> Iterator[Any]:
    """A message and all messages in it."""
    yield proto
    for field, value in proto.ListFields():
        if field.type == field.TYPE_MESSAGE:
            for inner in value if field.is_repeated else [value]:
                yield from messages(inner)


def onnx_changed(data: bytes, rng: random.Random) -> bytes:
    """One field of one message takes another value of its type, or vanishes."""
    from onnx import ModelProto

    model: ModelProto = ModelProto.FromString(data)
    proto = rng.choice(list(messages(model)))
    fields = proto.ListFields()
    if not fields:
        return data
    field, value = rng.choice(fields)
    if field.type == field.TYPE_MESSAGE or rng.random() < 0.2:
        proto.ClearField(field.name)
    elif field.is_repeated:
        choices = STRANGE[type(value[0])]
        index = rng.randrange(len(value))
        _try(lambda: value.__setitem__(index, rng.choice(choices)))
    else:
        _try(lambda: setattr(proto, field.name, rng.choice(STRANGE[type(value)])))
    return model.SerializeToString()


def _try(change: Callable[[], None]) -> None:
    with suppress(ValueError, TypeError):  # the value does not fit the field's range
        change()


# -- cvimodel -----------------------------------------------------------------------------


def commands_changed(data: bytes, rng: random.Random) -> bytes:
    """One to four changed bits in the command buffers of a cvimodel."""
    from cvi_tpu.model import SectionKind, read

    spans = [
        (data.index(section.data), len(section.data))
        for section in read(data).sections
        if section.kind is SectionKind.CMDBUF
    ]
    start, size = rng.choice(spans)
    mutant = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        mutant[start + rng.randrange(size)] ^= 1 << rng.randrange(8)
    return bytes(mutant)


def description_changed(data: bytes, rng: random.Random) -> bytes:
    """`words_changed` in what comes before the weights and commands of a cvimodel."""
    header = 48
    end = header + struct.unpack_from("<I", data, 8)[0]
    body = words_changed(data[header:end], rng)
    mutant = bytearray(data[:header] + body + data[end:])
    struct.pack_into("<I", mutant, 8, len(body))
    return bytes(mutant)


def instructions_changed(data: bytes, rng: random.Random) -> bytes:
    """A cvimodel of which some instructions have other fields, all of them in range."""
    from cvi_tpu.isa.stream import cmdbuf, parse_cmdbuf
    from cvi_tpu.model import SectionKind, read, write
    from cvi_tpu.runtime.runtime import chip_spec

    model = read(data)
    spec = chip_spec(model.chip)
    at = next(i for i, s in enumerate(model.sections) if s.kind is SectionKind.CMDBUF)
    section = model.sections[at]
    commands = parse_cmdbuf(section.content(), spec)
    for _ in range(200):
        changed = list(commands)
        for _ in range(rng.randint(1, 3)):
            place = rng.randrange(len(changed))
            instruction = _changed(changed[place].instruction, rng)
            changed[place] = replace(changed[place], instruction=instruction)
        with suppress(Exception):  # not every value can be encoded
            body = cmdbuf(changed, spec)
            if body != section.content():
                mended = replace(section, data=body, compress=False)
                return write(replace(model, sections=_with(model.sections, at, mended)))
    return data


def _with(items: tuple[Any, ...], at: int, item: Any) -> tuple[Any, ...]:
    return (*items[:at], item, *items[at + 1 :])


NUMBERS = [
    0,
    -1,
    1,
    2,
    3,
    15,
    64,
    255,
    256,
    4095,
    65535,
    10**6,
    2**31 - 1,
    2**32 - 1,
    1 << 40,
    3 << 40,
    7 << 40 | 1 << 31,
]


def fields_changed(data: bytes, rng: random.Random) -> bytes:
    """A cvimodel, well formed, of which one or two fields have values that make no sense."""
    from cvi_tpu.model import read, write

    model = read(data)
    for _ in range(20):
        changed = model
        for _ in range(rng.randint(1, 2)):
            changed = _changed(changed, rng)
        with suppress(Exception):  # not every value can be written
            return write(changed)
    return data


def _changed(value: Any, rng: random.Random) -> Any:
    """The value with something in it replaced by another of its kind."""
    if is_dataclass(value) and not isinstance(value, type):
        names = [f.name for f in fields(value) if f.init and f.name not in ("data", "intact")]
        name = rng.choice(names)
        return replace(value, **{name: _changed(getattr(value, name), rng)})
    if isinstance(value, tuple):
        return _changed_items(value, rng)
    if isinstance(value, Enum):
        return rng.choice(list(type(value)))
    if type(value) is int:
        return rng.choice([*NUMBERS, value + 1, value - 1, value * 2, value // 2])
    if type(value) in STRANGE:
        return rng.choice(STRANGE[type(value)])
    return value


def _changed_items(items: tuple[Any, ...], rng: random.Random) -> tuple[Any, ...]:
    if not items:
        return items
    at = rng.randrange(len(items))
    match rng.randrange(6):
        case 0:
            return items[:at] + items[at + 1 :]
        case 1:
            return (*items, items[at])
        case 2:
            return _with(items, at, rng.choice(items))
        case _:
            return _with(items, at, _changed(items[at], rng))
