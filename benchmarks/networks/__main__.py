"""Measures every network of the catalogue; writes docs/networks.md.

    python -m benchmarks.networks [NAME ...] [--floats] [--work FOLDER] [--jobs J]

Needs the folder `shared`, TensorFlow for two networks, and the vendor's libraries
(`cvi vendor install`). Finished measurements are kept in FOLDER (out/networks), so that a run
that was stopped goes on where it was; give an empty folder to measure anew. With --floats no
program is made. The exit code is 1 when something is not as it should be.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from benchmarks.networks.catalogue import NETWORKS
from benchmarks.networks.page import page
from benchmarks.networks.predictions import predictions
from benchmarks.networks.results import Kept, found, measure
from benchmarks.zoo import REPOSITORY

PAGE = REPOSITORY / "docs" / "networks.md"
WORK = REPOSITORY / "out" / "networks"


def run(names: Sequence[str], folder: Path, jobs: int, programs: bool) -> bool:
    """Measure networks, several at once; whether something is wrong."""
    failed = False
    with ProcessPoolExecutor(jobs) as pool:
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
