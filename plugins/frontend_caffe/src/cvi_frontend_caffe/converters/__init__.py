"""Converters of Caffe layers, one file per family."""

from __future__ import annotations

import importlib

_FAMILIES = (
    "activation",
    "arithmetic",
    "conv",
    "detection",
    "interpolation",
    "matrix",
    "norm",
    "pool",
    "recurrent",
    "reduce",
    "shape",
    "spatial",
)


def load() -> None:
    """Import every family, which registers its converters."""
    for family in _FAMILIES:
        importlib.import_module(f"{__name__}.{family}")
