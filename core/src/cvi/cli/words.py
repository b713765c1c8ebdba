"""The words of a command line, brought to one spelling before anybody parses them."""

from __future__ import annotations

from collections.abc import Sequence

_YES = {"true", "yes", "1", "on"}
_NO = {"false", "no", "0", "off"}
_FLAGS_WITH_VALUE = {
    "--aligned-input",
    "--compress-weight",
    "--fuse-preprocess",
    "--gray",
    "--keep-aspect-ratio",
    "--merge-weight",
}
"""Flags that the vendor's guide writes with a value, `--gray true`."""


def normalised(argv: Sequence[str]) -> tuple[list[str], bool]:
    """The words with `--like_this` as `--like-this`, and whether `--debug` was among them.

    `--flag true` of the guide's flags becomes `--flag`, `--flag false` `--no-flag`.
    Nothing after a lone `--` is touched.
    """
    words: list[str] = []
    debug = False
    rest = list(argv)
    while rest:
        word = rest.pop(0)
        if word == "--":
            return [*words, word, *rest], debug
        name, equals, value = word.partition("=")
        if name.startswith("--"):
            name = name.replace("_", "-")
        if name == "--debug" and not equals:
            debug = True
        elif name in _FLAGS_WITH_VALUE:
            if not equals and rest and rest[0].lower() in _YES | _NO:
                value = rest.pop(0)
            words.append(_flag(name, value))
        else:
            words.append(name + equals + value)
    return words, debug


def _flag(name: str, value: str) -> str:
    if value.lower() in _NO:
        return f"--no-{name[2:]}"
    return name if not value or value.lower() in _YES else f"{name}={value}"
