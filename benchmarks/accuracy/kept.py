"""Finished measurements as files of a folder: a run that was stopped goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from time import process_time
from typing import Any

from benchmarks.accuracy.catalogue import Classifier
from benchmarks.accuracy.scores import Score

from cvi.calibrate.table import CalibrationTable
from cvi.files import atomic_write_bytes


class Kept:
    """What is known of one classifier, in a folder of its own: a JSON file per form, its
    thresholds and the order of its layers."""

    def __init__(self, folder: Path, entry: Classifier) -> None:
        self.folder = folder / entry.slug
        self.folder.mkdir(parents=True, exist_ok=True)

    def score(self, form: str) -> Score | None:
        """A form's score, None when it was not measured."""
        data = self._read(self._path(form))
        return None if data is None else Score(**data)

    def keep(self, score: Score) -> None:
        self._write(self._path(score.form), asdict(score))

    def table(self, make: Callable[[], CalibrationTable]) -> CalibrationTable:
        """The thresholds, made once."""
        path = self.folder / "thresholds.table"
        if not path.exists():
            make().write(path)
        return CalibrationTable.read(path)

    def order(self, make: Callable[[], Sequence[str]]) -> list[str]:
        """The layers in order of their loss, ranked once."""
        path = self.folder / "order.json"
        if not path.exists():
            start, layers = process_time(), list(make())
            self._write(path, {"layers": layers, "cpu_s": process_time() - start})
        return list(self._read(path)["layers"])

    def ranked(self) -> tuple[int, float] | None:
        """How many layers were ranked, in how many CPU seconds."""
        data = self._read(self.folder / "order.json")
        return None if data is None else (len(data["layers"]), data["cpu_s"])

    def problem(self, name: str) -> str:
        """Why something could not be measured, "" when nothing is known of it."""
        data = self._read(self.folder / f"{name} problem.json")
        return "" if data is None else data

    def keep_problem(self, name: str, why: str) -> None:
        self._write(self.folder / f"{name} problem.json", why)

    def _path(self, form: str) -> Path:
        return self.folder / f"{form}.json"

    def _read(self, path: Path) -> Any:
        return json.loads(path.read_text()) if path.exists() else None

    def _write(self, path: Path, value: object) -> None:
        atomic_write_bytes(path, json.dumps(value, indent=1).encode())
