"""Measurements of networks, each made once: a folder keeps them."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.networks.catalogue import NETWORKS, Network, network
from benchmarks.networks.measure import CHIPS, Floats, Program, measure_floats, measure_programs
from benchmarks.networks.page import Found
from benchmarks.networks.predictions import Predictions

from cvi.errors import CviError


class Kept:
    """Finished measurements as files of a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def read(self, name: str) -> Any:
        """The measurement as plain data, None when there is none yet."""
        path = self.folder / f"{name}.json"
        return json.loads(path.read_text()) if path.exists() else None

    def write(self, name: str, value: Any) -> None:
        (self.folder / f"{name}.json").write_text(json.dumps(asdict(value)))

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
