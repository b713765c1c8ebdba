"""How a threshold is chosen from what was seen of a tensor."""

from __future__ import annotations

import difflib
from collections.abc import Callable

from cvi.calibrate.histogram import LayerHistogram
from cvi.calibrate.kld import kld_threshold
from cvi.errors import InputError

Method = Callable[[LayerHistogram], float]
"""From a tensor's statistics, with absmax > 0, to its threshold in real units."""


def kld(layer: LayerHistogram) -> float:
    """Least Kullback-Leibler divergence: clips outliers for finer steps (the usual one)."""
    return kld_threshold(layer.reduced(), layer.absmax / (layer.bins - 1))


def absolute_maximum(layer: LayerHistogram) -> float:
    """The largest |x| that was seen: clips nothing."""
    return layer.absmax


METHODS: dict[str, Method] = {"kld": kld, "max": absolute_maximum}


def method_of(name: str) -> Method:
    """The method of that name; InputError listing all when there is none."""
    method = METHODS.get(name)
    if method is None:
        near = difflib.get_close_matches(name, METHODS, n=1)
        raise InputError(
            f"unknown calibration method {name!r}" + (f", did you mean {near[0]}?" if near else ""),
            where="--method",
            fix=f"one of: {', '.join(METHODS)}",
        )
    return method
