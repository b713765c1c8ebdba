"""How long work tells how far it is; the library never prints by itself."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Listens to a conversion. The command line shows a bar or plain lines."""

    def stage(self, name: str, title: str) -> None:
        """A stage begins (and the one before it is done)."""

    def step(self, done: int, total: int | None = None) -> None:
        """Units of the current stage that are done; `total` None when it is not known."""

    def note(self, text: str) -> None:
        """A result worth a line, e.g. the worst similarity."""


class Silent:
    """Progress that nobody looks at."""

    def stage(self, name: str, title: str) -> None:
        pass

    def step(self, done: int, total: int | None = None) -> None:
        pass

    def note(self, text: str) -> None:
        pass
