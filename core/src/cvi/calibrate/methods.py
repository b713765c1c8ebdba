"""How a threshold is chosen from what was seen of a tensor."""

from __future__ import annotations

import difflib
from collections.abc import Callable

import numpy as np

from cvi.calibrate.histogram import LayerHistogram
from cvi.calibrate.kld import kld_threshold
from cvi.errors import InputError

STEPS = 127
"""A threshold is stored as this integer."""

_SHARE = 0.9999

Method = Callable[[LayerHistogram], float]
"""From a tensor's statistics, with absmax > 0, to its threshold in real units."""


def kld(layer: LayerHistogram) -> float:
    """Least Kullback-Leibler divergence: clips outliers for finer steps (the usual one)."""
    return kld_threshold(layer.reduced(), layer.absmax / (layer.bins - 1))


def absolute_maximum(layer: LayerHistogram) -> float:
    """The largest |x| that was seen: clips nothing."""
    return layer.absmax


def percentile(layer: LayerHistogram) -> float:
    """What 99.99 per cent of all non-zero |x| do not exceed, to the width of a fine bin."""
    counts, width = layer.fine()
    seen = counts.cumsum()
    place = int(np.searchsorted(seen, _SHARE * seen[-1]))
    return min((place + 1) * width, layer.absmax)


def least_squares(layer: LayerHistogram) -> float:
    """The least sum of squared errors of rounding and clipping, among 1 to 100 per cent of the
    largest |x|.

    Rounding to steps of T / 127 costs a twelfth of a squared step on average; what lies
    beyond T costs the square of its distance.
    """
    thresholds = np.arange(1, 101) / 100 * layer.absmax
    return float(thresholds[np.argmin([_error(layer, float(t)) for t in thresholds])])


def _error(layer: LayerHistogram, threshold: float) -> float:
    counts, width = layer.fine()
    inside = counts[: int(threshold / width + 0.5)].sum()
    return float(inside * (threshold / STEPS) ** 2 / 12) + layer.clipped(threshold)


METHODS: dict[str, Method] = {
    "kld": kld,
    "max": absolute_maximum,
    "percentile": percentile,
    "mse": least_squares,
}


AUTO = "auto"
"""The best for each layer by trials; see `cvi.calibrate.tune`."""


def method_of(name: str) -> Method:
    """The method of that name; InputError listing all when there is none."""
    method = METHODS.get(name)
    if method is None:
        near = difflib.get_close_matches(name, METHODS, n=1)
        raise InputError(
            f"unknown calibration method {name!r}" + (f", did you mean {near[0]}?" if near else ""),
            where="--method",
            fix=f"one of: {', '.join((AUTO, *METHODS))}",
        )
    return method
