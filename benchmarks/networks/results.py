"""Measurements of networks, each made once: a folder keeps them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.kept import KeptFolder
from benchmarks.networks.catalogue import NETWORKS, Network, network
from benchmarks.networks.measure import CHIPS, Floats, Program, measure_floats, measure_programs
from benchmarks.networks.page import Found
from benchmarks.networks.predictions import Predictions

from cvi.errors import CviError


class Kept(KeptFolder):
    """The measurements of this benchmark."""

    def floats(self, entry: Network) -> Floats | None:
        data = self.read(f"{entry.name}.floats")
        return Floats(**data) if data else None

    def programs(self, entry: Network) -> list[Program]:
        kept = (self.read(f"{entry.name}.{chip}") for chip in CHIPS)
        return [_program(data) for data in kept if data]

    def predictions(self, make: Callable[[], Predictions] | None = None) -> Predictions | None:
        data = self.read("predictions")
        if data is None and make is not None:
            self.write("predictions", make())
            data = self.read("predictions")
        return Predictions(**data) if data else None


def _program(data: dict[str, Any]) -> Program:
    lists = {key: tuple(value) for key, value in data.items() if isinstance(value, list)}
    return Program(**(data | lists))


def measure(name: str, folder: Path, programs: bool) -> list[str]:
    """Measure what is not there yet of one network; what is wrong with it, line by line."""
    warnings.simplefilter("ignore")
    entry, kept = network(name), Kept(folder)
    floats = kept.floats(entry)
    if floats is None:
        floats = measure_floats(entry, folder)
        kept.write(f"{name}.floats", floats)
    wrong = [floats.error] if floats.error and entry.compiled else []
    wrong += [f"{layer}: cosine {cosine}" for layer, cosine in floats.below.items()]
    if programs and entry.compiled and not floats.error:
        wrong += _programs(entry, kept)
    return [f"{name}: {line}" for line in wrong]


def _programs(entry: Network, kept: Kept) -> list[str]:
    done = {program.chip for program in kept.programs(entry)}
    left = tuple(chip for chip in CHIPS if chip not in done)
    wrong: list[str] = []
    try:
        for program in measure_programs(entry, kept.folder, left) if left else ():
            wrong += [*program.problems, *program.refused]
            if not program.problems:
                kept.write(f"{entry.name}.{program.chip}", program)
    except CviError as error:
        wrong.append(str(error))
    return wrong


def found(kept: Kept) -> list[Found]:
    """All that was measured so far."""
    return [(entry, kept.floats(entry), kept.programs(entry)) for entry in NETWORKS]
