"""INT8 with weights rounded to nearest and with learned rounding, on the real classifiers.

    python -m benchmarks.rounding [NAME ...] [--images N] [--samples N]

Needs the folder `shared`. Prints the table of docs/quantisation.md.
"""

from __future__ import annotations

import argparse
from time import process_time

from benchmarks.accuracy import Bench, Classifier, Score, classifiers
from benchmarks.accuracy.bench import CHIP

from cvi import plugins
from cvi.calibrate.table import CalibrationTable
from cvi.flow.progress import Silent
from cvi.hookspecs import LearnsRounding
from cvi.ir import Graph


def learned(bench: Bench, table: CalibrationTable, samples: int) -> Graph:
    """The INT8 network with rounding learned from some training images."""
    scheme = plugins.scheme("int8")
    assert isinstance(scheme, LearnsRounding)
    return scheme.quantize_learned(
        bench.graph,
        table,
        None,
        plugins.chip(CHIP),
        bench.training[:samples],
        inputs_type="auto",
        outputs_type="fp32",
        progress=Silent(),
    )


def measure(entry: Classifier, images: int, samples: int) -> tuple[Score, Score, float]:
    """To nearest, learned, and the CPU seconds of learning."""
    bench = Bench(entry, images)
    table = bench.table()
    nearest = bench.score("nearest", bench.quantised(table, "int8"))
    start = process_time()
    made = learned(bench, table, samples)
    seconds = process_time() - start
    return nearest, bench.score("learned", made), seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="beginnings of names; all by default")
    parser.add_argument("--images", type=int, default=120)
    parser.add_argument("--samples", type=int, default=100)
    options = parser.parse_args()
    for entry in classifiers(options.names):
        one, two, seconds = measure(entry, options.images, options.samples)
        cells = (
            entry.name, options.images, f"{one.kl:.4f}", f"{two.kl:.4f}",
            f"{one.changed} → {two.changed}", f"{seconds:.1f}",
        )  # fmt: skip
        print(f"| {' | '.join(map(str, cells))} |", flush=True)


if __name__ == "__main__":
    main()
