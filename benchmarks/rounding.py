"""INT8 with weights rounded to nearest and with learned rounding, on the real classifiers.

    python -m benchmarks.rounding [NAME ...] [--images N] [--samples N]

Needs the folder `shared`. Prints the lines of the table of docs/quantisation.md.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from time import process_time

import numpy as np
from benchmarks.accuracy import Bench, Classifier, classifiers
from benchmarks.accuracy.bench import CHIP
from benchmarks.accuracy.scores import divergence

from cvi import plugins
from cvi.calibrate.table import CalibrationTable
from cvi.execute import evaluate
from cvi.flow.progress import Silent
from cvi.flow.real import quantised_inputs, real_values
from cvi.hookspecs import LearnsRounding
from cvi.ir import Array, Graph


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
        all_weights=True,
        inputs_type="auto",
        outputs_type="fp32",
        progress=Silent(),
    )


@dataclass(frozen=True)
class Measured:
    """kl: the divergence of the class probabilities from FP32's for every image. changed:
    images of another best class."""

    kl: Array
    changed: int


def measure(bench: Bench, quantised: Graph) -> Measured:
    """The quantised network on all images."""
    name, found = quantised.outputs[0], []
    for image in bench.images:
        values = evaluate(quantised, quantised_inputs(quantised, image))
        found.append(real_values(quantised, values)[name])
    pairs = list(zip(bench.reference, found, strict=True))
    kl = np.array([divergence(reference, scores) for reference, scores in pairs])
    return Measured(kl, sum(int(a.argmax()) != int(b.argmax()) for a, b in pairs))


def row(entry: Classifier, images: int, samples: int) -> str:
    """A line of the table: the difference with its standard error, and the CPU seconds of
    learning."""
    bench = Bench(entry, images)
    table = bench.table()
    one = measure(bench, bench.quantised(table, "int8"))
    start = process_time()
    made = learned(bench, table, samples)
    seconds = process_time() - start
    two = measure(bench, made)
    more = two.kl - one.kl
    cells = (
        entry.name, str(images), f"{one.kl.mean():.4f}", f"{two.kl.mean():.4f}",
        f"{more.mean():+.4f} ± {more.std() / len(more) ** 0.5:.4f}",
        f"{one.changed} → {two.changed}", f"{seconds:.1f}",
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="beginnings of names; all by default")
    parser.add_argument("--images", type=int, default=120)
    parser.add_argument("--samples", type=int, default=100)
    options = parser.parse_args()
    for entry in classifiers(options.names):
        print(row(entry, options.images, options.samples), flush=True)


if __name__ == "__main__":
    main()
