"""Words, numbers and signs of protobuf's text format, each with its line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from cvi.errors import ModelError

_TOKEN = re.compile(
    r"""(?P<space>[ \t\r\f\v]+|\#[^\n]*)
      | (?P<line>\n)
      | (?P<word>[A-Za-z_][\w.]*)
      | (?P<number>[-+]?\ *(?:0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?[fF]?
                     |(?:inf|nan|infinity)\b))
      | (?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
      | (?P<sign>[{}<>\[\]:;,])""",
    re.VERBOSE,
)


@dataclass(frozen=True)
class Token:
    """kind: word, number, string, sign, or end at the end of the text."""

    kind: str
    text: str
    line: int


class Tokens:
    """The tokens of a text, one at a time."""

    def __init__(self, text: str) -> None:
        self._rest = _tokens(text)
        self.next = next(self._rest)

    def take(self) -> Token:
        """The next token, which is consumed (the end is not)."""
        token = self.next
        if token.kind != "end":
            self.next = next(self._rest)
        return token

    def skip(self, *signs: str) -> str:
        """Consume the next token if it is one of these signs; which one, else ""."""
        token = self.next
        if token.kind == "sign" and token.text in signs:
            self.take()
            return token.text
        return ""


def _tokens(text: str) -> Iterator[Token]:
    at, line = 0, 1
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise ModelError(
                f"{text[at : at + 12].split()[0]!r} does not belong into a Caffe network",
                where=f"line {line}",
                fix="mend the line, or download the file again",
            )
        kind = str(match.lastgroup)
        at = match.end()
        if kind == "line":
            line += 1
        elif kind != "space":
            yield Token(kind, match.group(), line)
    yield Token("end", "the end of the file", line)
