"""Measures every network of the catalogue; writes docs/networks.md.

    python -m benchmarks.networks [NAME ...] [--floats] [--work FOLDER] [--jobs J]

Needs the folder `shared`, TensorFlow for two networks, and the vendor's libraries
(`cvi vendor install`). Finished measurements are kept in FOLDER (out/networks), so that a run
that was stopped goes on where it was; give an empty folder to measure anew. With --floats no
program is made. The exit code is 1 when something is not as it should be.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.networks.catalogue import NETWORKS, Network, network
from benchmarks.networks.measure import Floats, Program, measure_floats, measure_programs
from benchmarks.networks.page import Found, page
from benchmarks.networks.predictions import Predictions, predictions
from benchmarks.zoo import REPOSITORY

from cvi.errors import CviError

PAGE = REPOSITORY / "docs" / "networks.md"
WORK = REPOSITORY / "out" / "networks"
CHIPS = ("cv183x", "cv182x")


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
        return [
            Program(**{k: tuple(v) if isinstance(v, list) else v for k, v in data.items()})
            for data in kept
            if data
        ]

    def predictions(self, make: Callable[[], Predictions] | None = None) -> Predictions | None:
        data = self.read("predictions")
        if data is None and make is not None:
            self.write("predictions", make())
            data = self.read("predictions")
        return Predictions(**data) if data else None


def measure(name: str, folder: Path, programs: bool) -> list[str]:
    """Measure what is not there yet of one network; what is wrong with it, line by line."""
    warnings.simplefilter("ignore")
    entry, kept = network(name), Kept(folder)
    floats = kept.floats(entry)
    if floats is None:
        floats = measure_floats(entry, folder)
        if not floats.error:
            kept.write(f"{name}.floats", floats)
    wrong = [floats.error] if floats.error else []
    wrong += [f"{layer}: cosine {cosine}" for layer, cosine in floats.below.items()
              if layer not in entry.expected]  # fmt: skip
    if programs and not floats.error:
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


def run(names: Sequence[str], folder: Path, jobs: int, programs: bool) -> bool:
    """Measure networks, several at once; whether something is wrong."""
    failed = False
    with ProcessPoolExecutor(jobs, max_tasks_per_child=1) as pool:
        futures = [pool.submit(measure, name, folder, programs) for name in names]
        for name, future in zip(names, futures, strict=True):
            problems = future.result()
            print(name, "measured" if not problems else "PROBLEMS", flush=True)
            for problem in problems:
                print(f"  {problem}", file=sys.stderr, flush=True)
            failed |= bool(problems)
    return failed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", help="networks to measure, all by default")
    parser.add_argument("--floats", action="store_true", help="make no programs")
    parser.add_argument("--work", type=Path, default=WORK)
    parser.add_argument("--jobs", type=int, default=1, help="networks measured at once")
    asked = parser.parse_args()
    kept = Kept(asked.work.resolve())
    names = asked.names or [entry.name for entry in NETWORKS]
    failed = run(names, kept.folder, asked.jobs, not asked.floats)
    checked = kept.predictions(None if asked.names else predictions)
    PAGE.write_text(page(found(kept), checked))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
