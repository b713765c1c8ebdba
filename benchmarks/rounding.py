"""Weights rounded to nearest and with learned rounding, on the real classifiers.

    python -m benchmarks.rounding [NAME ...] [--quant int8|bf16] [--images N]

Needs the folder `shared`. Prints the lines of the table of docs/quantisation.md.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from time import process_time

import numpy as np
from benchmarks.accuracy import Bench, Classifier, classifiers
from benchmarks.accuracy.scores import divergence

from cvi.execute import evaluate
from cvi.flow.job import AUTO, NEAREST
from cvi.flow.real import quantised_inputs, real_values
from cvi.ir import Array, Graph


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
        values = evaluate(quantised, quantised_inputs(quantised, image), exact=False)
        found.append(real_values(quantised, values)[name])
    pairs = list(zip(bench.reference, found, strict=True))
    kl = np.array([divergence(reference, scores) for reference, scores in pairs])
    return Measured(kl, sum(int(a.argmax()) != int(b.argmax()) for a, b in pairs))


def row(entry: Classifier, quant: str, images: int) -> str:
    """A line of the table: the difference with its standard error, and the CPU seconds of
    learning."""
    bench = Bench(entry, images)
    table = bench.table()
    assert bench.training  # read before the clock runs
    one = measure(bench, bench.quantised(table, quant, rounding=NEAREST))
    start = process_time()
    made = bench.quantised(table, quant, rounding=AUTO)
    seconds = process_time() - start
    two = measure(bench, made)
    more = two.kl - one.kl
    cells = (
        entry.name, f"{one.kl.mean():.5f}", f"{two.kl.mean():.5f}",
        f"{more.mean():+.5f} ± {more.std() / len(more) ** 0.5:.5f}",
        f"{one.changed} → {two.changed}", f"{seconds:.1f}",
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="beginnings of names; all by default")
    parser.add_argument("--quant", choices=("int8", "bf16"), default="int8")
    parser.add_argument("--images", type=int, default=120)
    options = parser.parse_args()
    for entry in classifiers(options.names):
        print(row(entry, options.quant, options.images), flush=True)


if __name__ == "__main__":
    main()
