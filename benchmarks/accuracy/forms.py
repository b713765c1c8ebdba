"""The forms of a classifier, each measured once."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection
from functools import partial
from unittest.mock import patch

from benchmarks.accuracy.bench import FRAMEWORK, Bench
from benchmarks.accuracy.catalogue import Classifier
from benchmarks.accuracy.kept import Kept
from benchmarks.accuracy.scores import Score

from cvi.calibrate.table import CalibrationTable
from cvi.flow.job import AUTO, LEARNED, NEAREST

FP32, INT8, BF16 = "FP32", "INT8", "BF16"
MIXED = {f"mixed {count}": count for count in (6, 10, 15)}
FORMS = (FP32, INT8, *MIXED, BF16)

COMPARED_WITH_FRAMEWORK = 100
"""Images, for TensorFlow Lite's plain kernels are slow."""

METHODS = ("kld", "max", "percentile", "mse")
COMPARED = (
    "mobilenet_v1_0.25_128 (ONNX)",
    "squeezenet_v1.1 (Caffe)",
    "resnet20_cifar10 (ONNX)",
    "cifar10_quick (Caffe)",
)
"""The classifiers on which methods are compared."""

Measure = Callable[[], Score]
Form = Callable[[str, CalibrationTable], Score]


def measure(
    entry: Classifier,
    count: int,
    kept: Kept,
    *,
    only: Collection[str] = (),
    methods: bool = False,
) -> None:
    """Measure the forms (only: of these) that are not known for so many images yet. CviError
    when the classifier cannot be read, or a form cannot be made."""
    names = [*FORMS, *(method_forms() if methods else ()), FRAMEWORK]
    names = [name for name in names if not only or name in only]
    left = [name for name in names if not _is_known(name, kept.score(name), count)]
    if not left:
        return
    said(f"{entry.name}: images and FP32")
    bench = Bench(entry, count)
    made = _forms(bench, kept) | (_methods(bench, kept) if methods else {})
    for name in left:
        found = made[name]()
        kept.keep(found)
        lost = "-" if found.lost is None else found.lost
        said(f"{entry.name}: {name}: lost {lost}, changed {found.changed}, KL {found.kl:.5f}")


def said(text: str) -> None:
    """Tell how far the run is."""
    print(text, file=sys.stderr, flush=True)


def _is_known(name: str, score: Score | None, count: int) -> bool:
    if name == FRAMEWORK:
        return score is not None and score.images >= min(count, COMPARED_WITH_FRAMEWORK)
    return score is not None and score.images == count


def _forms(bench: Bench, kept: Kept) -> dict[str, Measure]:
    def table() -> CalibrationTable:
        return kept.table(bench.table)

    def int8() -> Score:
        return bench.score(INT8, bench.quantised(table(), "int8"))

    def mixed(name: str, count: int) -> Score:
        layers = kept.order(lambda: bench.order(table()))[:count]
        return bench.score(name, bench.quantised(table(), "mixed", layers))

    return {
        FRAMEWORK: lambda: bench.framework(COMPARED_WITH_FRAMEWORK),
        FP32: lambda: bench.counted(FP32, bench.reference),
        INT8: int8,
        **{name: partial(mixed, name, count) for name, count in MIXED.items()},
        BF16: lambda: bench.score(BF16, bench.quantised(table(), "bf16")),
    }


# -- the comparison of methods ----------------------------------------------------------

_AROUND_0_KLD = "INT8 around 0, sums not exact, rounded to nearest, no means, KLD"
_AROUND_0 = "INT8 around 0, rounded to nearest"
_NO_MEANS = "INT8, rounded to nearest, no means"
_INEXACT = "INT8, rounded to nearest, sums not exact"
_LEARNED = "INT8, rounding learned from all images"
_NEAREST = "INT8, rounded to nearest"
_EQUALISED = "INT8, equalised"
_BF16_NEAREST = "BF16, rounded to nearest"
_BF16_NO_MEANS = "BF16, rounded to nearest, no means"


def method_forms() -> list[str]:
    """INT8 without what is new, with each part of it, and with other thresholds."""
    others = [f"INT8, {method}" for method in METHODS]
    int8 = [_AROUND_0_KLD, _AROUND_0, _NO_MEANS, _INEXACT, *others, _EQUALISED, _NEAREST, _LEARNED]
    return [*int8, _BF16_NO_MEANS, _BF16_NEAREST]


def _methods(bench: Bench, kept: Kept) -> dict[str, Measure]:
    def known() -> CalibrationTable:
        return kept.table(bench.table)

    def int8(form: str, table: CalibrationTable, rounding: str = AUTO) -> Score:
        return bench.score(form, bench.quantised(table, "int8", rounding=rounding))

    def nearest(form: str, table: CalibrationTable) -> Score:
        return int8(form, table, NEAREST)

    def symmetric(form: str, table: CalibrationTable) -> Score:
        with patch("cvi_tpu.quantized.scheme.offset_layers", return_value=frozenset()):
            return nearest(form, table)

    def inexact(measured: Form, form: str, table: CalibrationTable) -> Score:
        with patch("cvi_tpu.quantized.thresholds.Thresholds.suit_sums"):
            return measured(form, table)

    def by(method: str) -> Score:
        return int8(f"INT8, {method}", bench.table(method))

    def bf16(form: str, table: CalibrationTable | None) -> Score:
        return bench.score(form, bench.quantised(table, "bf16", rounding=NEAREST))

    return {
        _AROUND_0_KLD: lambda: inexact(symmetric, _AROUND_0_KLD, without_means(bench.table("kld"))),
        _AROUND_0: lambda: symmetric(_AROUND_0, known()),
        _NO_MEANS: lambda: nearest(_NO_MEANS, without_means(known())),
        _INEXACT: lambda: inexact(nearest, _INEXACT, known()),
        **{f"INT8, {method}": partial(by, method) for method in METHODS},
        _EQUALISED: lambda: bench.equalised(_EQUALISED),
        _NEAREST: lambda: nearest(_NEAREST, known()),
        _LEARNED: lambda: int8(_LEARNED, known(), LEARNED),
        _BF16_NO_MEANS: lambda: bf16(_BF16_NO_MEANS, None),
        _BF16_NEAREST: lambda: bf16(_BF16_NEAREST, known()),
    }


def without_means(table: CalibrationTable) -> CalibrationTable:
    """Only the thresholds."""
    return CalibrationTable(table.entries)
