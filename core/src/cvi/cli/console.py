"""Messages to people: errors, warnings and notes on stderr, in colour on a terminal."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from typing import TextIO

_COLOURS = {"error": "31", "internal error": "31", "warning": "33"}
_SHOWN_ITEMS = 50


def report(
    kind: str, why: str = "", *, where: str = "", fix: str = "", items: Sequence[str] = ()
) -> None:
    """Print a message as where, why and fix, one line each; `items` are listed below why."""
    print(f"{_coloured(kind)}: {where or why}" if where or why else kind, file=sys.stderr)
    if where:
        print(f"  {why}", file=sys.stderr)
    for item in items[:_SHOWN_ITEMS]:
        print(f"  - {item}", file=sys.stderr)
    if len(items) > _SHOWN_ITEMS:
        print(f"  … and {len(items) - _SHOWN_ITEMS} more", file=sys.stderr)
    if fix:
        print("  fix: " + fix.replace("\n", "\n  "), file=sys.stderr)


def _coloured(kind: str) -> str:
    colour = _COLOURS.get(kind)
    return f"\x1b[1;{colour}m{kind}\x1b[0m" if colour and _wants_colour() else kind


def _wants_colour() -> bool:
    import os

    return sys.stderr.isatty() and "NO_COLOR" not in os.environ


class LineHandler(logging.Handler):
    """Shows log records of the library as one-line warnings or notes."""

    def emit(self, record: logging.LogRecord) -> None:
        report("warning" if record.levelno >= logging.WARNING else "note", record.getMessage())


def show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """A Python warning as one line, without the source position."""
    report("warning", str(message))
