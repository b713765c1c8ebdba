"""Finished measurements as files of a folder: a run that was stopped goes on where it was."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from time import process_time

from benchmarks.accuracy.catalogue import Classifier
from benchmarks.accuracy.scores import Score
from benchmarks.kept import KeptFolder

from cvi.calibrate.table import CalibrationTable


class Kept(KeptFolder):
    """What is known of one classifier, in a folder of its own: a JSON file per form, its
    thresholds and the order of its layers."""

    def __init__(self, folder: Path, entry: Classifier) -> None:
        super().__init__(folder / entry.slug)

    def score(self, form: str) -> Score | None:
        """A form's score, None when it was not measured."""
        data = self.read(form)
        return None if data is None else Score(**data)

    def keep(self, score: Score) -> None:
        self.write(score.form, score)

    def table(self, make: Callable[[], CalibrationTable]) -> CalibrationTable:
        """The thresholds, made once."""
        path = self.folder / "thresholds.table"
        if not path.exists():
            make().write(path)
        return CalibrationTable.read(path)

    def order(self, make: Callable[[], Sequence[str]]) -> list[str]:
        """The layers in order of their loss, ranked once."""
        if self.read("order") is None:
            start, layers = process_time(), list(make())
            self.write("order", {"layers": layers, "cpu_s": process_time() - start})
        return list(self.read("order")["layers"])

    def ranked(self) -> tuple[int, float] | None:
        """How many layers were ranked, in how many CPU seconds."""
        data = self.read("order")
        return None if data is None else (len(data["layers"]), data["cpu_s"])

    def problem(self, name: str) -> str:
        """Why something could not be measured, "" when nothing is known of it."""
        data = self.read(f"{name} problem")
        return "" if data is None else data

    def keep_problem(self, name: str, why: str) -> None:
        self.write(f"{name} problem", why)
