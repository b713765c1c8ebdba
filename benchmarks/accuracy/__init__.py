"""Accuracy of the real classifiers in every precision, beside the vendor-derived toolchain's."""

from benchmarks.accuracy.bench import Bench
from benchmarks.accuracy.catalogue import CLASSIFIERS, Classifier, classifiers
from benchmarks.accuracy.scores import Score

__all__ = ["CLASSIFIERS", "Bench", "Classifier", "Score", "classifiers"]
