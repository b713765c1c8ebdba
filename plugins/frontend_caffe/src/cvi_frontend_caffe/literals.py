"""Numbers and texts of protobuf's text format, as a token writes them."""

from __future__ import annotations

import ast
import math
import struct
from typing import NoReturn

from cvi.errors import ModelError
from cvi_frontend_caffe.tokens import Token


def number(token: Token, full: str) -> float:
    """As a 32-bit float holds it; larger numbers become infinite, as in protobuf."""
    text = token.text.replace(" ", "")
    if token.kind == "number" and text[:-1][-1:] in (*"0123456789.",):
        text = text.rstrip("fF")
    try:
        value = float(text) if "x" not in text.lower() else float(int(text, 16))
        return float(struct.unpack("<f", struct.pack("<f", value))[0])
    except OverflowError:
        return math.copysign(math.inf, -1.0 if text.startswith("-") else 1.0)
    except ValueError:
        broken(token, f"{full} is a number, not {shown(token)}")


def integer(token: Token, full: str, least: int, most: int) -> int:
    text = token.text.replace(" ", "")
    try:
        value = int(text, 8 if text.lstrip("+-")[:1] == "0" and text.isdigit() else 0)
    except ValueError:
        try:
            value = int(text)
        except ValueError:
            broken(token, f"{full} is a whole number, not {shown(token)}")
    if not least <= value <= most:
        broken(token, f"{full} lies between {least} and {most}, not at {shown(token)}")
    return value


def unquoted(token: Token) -> str:
    try:
        text = ast.literal_eval(token.text)
    except (ValueError, SyntaxError):
        broken(token, f"{shown(token)} is no text in quotes")
    return str(text).encode("utf-8", "replace").decode("utf-8")


def shown(token: Token) -> str:
    text = token.text if len(token.text) <= 40 else token.text[:37] + "..."
    return text if token.kind == "end" else repr(text)


def broken(token: Token, why: str) -> NoReturn:
    raise ModelError(
        why, where=f"line {token.line}", fix="mend the line, or download the file again"
    )
