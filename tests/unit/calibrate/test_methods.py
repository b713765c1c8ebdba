"""Thresholds from histograms against literal counts over the values themselves."""

from __future__ import annotations

import numpy as np
import pytest

from cvi.calibrate.histogram import Histograms
from cvi.calibrate.methods import METHODS, method_of
from cvi.errors import InputError
from cvi.ir import Array


def _values(kind: str) -> Array:
    random = np.random.default_rng(11)
    if kind == "normal":
        return random.standard_normal(40_000).astype(np.float32)
    if kind == "heavy":
        return (random.standard_t(3, 40_000) * 5).astype(np.float32)
    return np.maximum(random.standard_normal(40_000), 0).astype(np.float32)


def _threshold(name: str, values: Array) -> float:
    histograms = Histograms()
    for part in np.array_split(values, 3):
        histograms.add({"x": part})
    return method_of(name)(histograms.layers["x"])


@pytest.mark.parametrize("kind", ["normal", "heavy", "relu"])
def test_percentile(kind: str) -> None:
    values = _values(kind)
    sizes = np.abs(values[values != 0]).astype(np.float64)
    literal = float(np.quantile(sizes, 0.9999, method="inverted_cdf"))
    assert _threshold("percentile", values) == pytest.approx(literal, rel=1e-3)


@pytest.mark.parametrize("kind", ["normal", "heavy", "relu"])
def test_mse_is_near_the_least_error_of_real_rounding(kind: str) -> None:
    values = _values(kind).astype(np.float64)

    def error(threshold: float) -> float:
        step = threshold / 127
        stored = np.clip(np.rint(values / step), -127, 127)
        return float(np.square(values - stored * step).sum())

    top = float(np.abs(values).max())
    least = min(error(k / 100 * top) for k in range(1, 101))
    assert error(_threshold("mse", values)) <= 1.02 * least


def test_no_method_exceeds_the_largest_by_more_than_a_bin() -> None:
    for kind in ("normal", "heavy", "relu"):
        values = _values(kind)
        top = float(np.abs(values).max())
        for name in METHODS:
            assert 0 < _threshold(name, values) <= top * (1 + 1 / 2047 + 1e-6), (kind, name)


def test_an_unknown_method() -> None:
    with pytest.raises(InputError, match="did you mean percentile"):
        method_of("percentil")
