"""The values of options: from a word on the command line to Python, or an InputError."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from cvi.errors import InputError


def dims(option: str, text: str | None) -> tuple[int, ...] | None:
    """ "224,224" as (224, 224): height, width."""
    if text is None:
        return None
    parts = text.replace("x", ",").split(",")
    if len(parts) != 2 or not all(_is_size(part) for part in parts):
        raise InputError(
            f"{text!r} is not HEIGHT,WIDTH", where=option, fix=f"for example {option} 224,224"
        )
    return tuple(map(int, parts))


def floats(option: str, text: str | None) -> tuple[float, ...] | None:
    """ "0.485,0.456,0.406" as numbers."""
    if text is None:
        return None
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if not values or not all(map(math.isfinite, values)):
        raise InputError(
            f"{text!r} is not a list of numbers",
            where=option,
            fix=f"one number, or one per channel: {option} 103.94,116.78,123.68",
        )
    return values


def shapes(option: str, words: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """["data=1,3,224,224"] as {"data": (1, 3, 224, 224)}."""
    found: dict[str, tuple[int, ...]] = {}
    for word in words:
        name, equals, text = word.rpartition("=")
        parts = text.split(",")
        if not name or not equals or not all(_is_size(part) for part in parts):
            raise InputError(
                f"{word!r} is not NAME=SHAPE", where=option, fix=f"{option} data=1,3,224,224"
            )
        found[name] = tuple(map(int, parts))
    return found


def names(words: Sequence[str]) -> tuple[str, ...]:
    """Names given repeatedly or separated by commas; "-" is the guide's word for none."""
    split = [part.strip() for word in words for part in word.split(",")]
    return tuple(dict.fromkeys(part for part in split if part and part != "-"))


def counts(option: str, text: str) -> tuple[int, ...]:
    """ "1,5" as whole numbers above 0."""
    parts = text.split(",")
    if not all(map(_is_size, parts)):
        raise InputError(f"{text!r} is not a list of counts", where=option, fix=f"{option} 1,5")
    return tuple(map(int, parts))


def paths(words: Sequence[str]) -> tuple[Path, ...]:
    """Files given repeatedly or separated by commas (a file's own name may have commas)."""
    found: list[Path] = []
    for word in words:
        found += [Path(word)] if Path(word).exists() else map(Path, word.split(","))
    return tuple(found)


def _is_size(text: str) -> bool:
    text = text.strip()
    return text.isascii() and text.isdigit() and 0 < int(text) < 1 << 31
