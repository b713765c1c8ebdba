"""Converters of ONNX ops, one file per family."""

from __future__ import annotations


def load() -> None:
    """Import every family, which registers its converters."""
    from cvi_frontend_onnx.converters import (  # noqa: F401
        activation,
        attention,
        constant,
        conv,
        einsum,
        elementwise,
        functions,
        layernorm,
        logic,
        matrix,
        norm,
        pool,
        quantised,
        recurrent,
        reduce,
        resize,
        select,
        shape,
    )
