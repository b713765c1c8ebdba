"""Converters of TFLite ops, one file per family."""

from __future__ import annotations


def load() -> None:
    """Import every family, which registers its converters."""
    from cvi_frontend_tflite.converters import (  # noqa: F401
        activation,
        blocks,
        constant,
        conv,
        elementwise,
        matrix,
        norm,
        pad,
        pool,
        recurrent,
        reduce,
        resize,
        select,
        shape,
        strided,
    )
