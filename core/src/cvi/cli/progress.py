"""Progress on stderr: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator

from cvi.flow.progress import Progress


@contextlib.contextmanager
def shown() -> Iterator[Progress]:
    """Progress for the time of one command."""
    if not sys.stderr.isatty():
        yield PlainProgress()
        return
    bar = BarProgress()
    with bar:
        yield bar


class PlainProgress:
    """One line per stage and note; counts at most every ten seconds."""

    def __init__(self) -> None:
        self._name = ""
        self._last = 0.0

    def stage(self, name: str, title: str) -> None:
        self._name, self._last = name, time.monotonic()
        print(f"{name}: {title}", file=sys.stderr, flush=True)

    def step(self, done: int, total: int | None = None) -> None:
        now = time.monotonic()
        if done == total or now - self._last >= 10:
            self._last = now
            of = f" of {total}" if total is not None else ""
            print(f"{self._name}: {done}{of}", file=sys.stderr, flush=True)

    def note(self, text: str) -> None:
        print(f"{self._name}: {text}", file=sys.stderr, flush=True)


class BarProgress:
    """rich's progress bar, one task per stage; stages that are done stay as lines."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            SpinnerColumn,
            TextColumn,
            TimeElapsedColumn,
        )

        self._console = Console(stderr=True)
        self._bar = Progress(
            SpinnerColumn(finished_text="✓"),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._console,
        )
        self._task = self._bar.add_task("", total=None, visible=False)

    def __enter__(self) -> BarProgress:
        self._bar.start()
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if kind is None:
            self._finish()
        self._bar.stop()

    def stage(self, name: str, title: str) -> None:
        self._finish()
        self._task = self._bar.add_task(title, total=None)

    def step(self, done: int, total: int | None = None) -> None:
        self._bar.update(self._task, completed=done, total=total)

    def note(self, text: str) -> None:
        from rich.text import Text

        self._console.print(Text(f"  {text}", style="dim"))

    def _finish(self) -> None:
        task = self._bar.tasks[-1]
        total = task.total if task.total is not None else 1
        self._bar.update(self._task, completed=total, total=total)
