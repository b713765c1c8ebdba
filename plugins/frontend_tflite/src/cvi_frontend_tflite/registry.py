"""Which function converts which TFLite op."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cvi_frontend_tflite.node import Node
    from cvi_frontend_tflite.values import Value

Converter = Callable[["Node"], "Value | Sequence[Value]"]
"""From a node to its output, or to its outputs in order."""

_BUILT_IN: dict[str, Converter] = {}


def converts(*ops: str) -> Callable[[Converter], Converter]:
    """Register the converter of these ops (`CONV_2D`; a custom op by its own name)."""

    def register(converter: Converter) -> Converter:
        for op in ops:
            _BUILT_IN[op] = converter
        return converter

    return register


@functools.cache
def built_in() -> Mapping[str, Converter]:
    """Our own converters by op."""
    from cvi_frontend_tflite import converters

    converters.load()
    return dict(_BUILT_IN)


def all_converters() -> dict[str, Converter]:
    """Our own converters, and those that other plugins register for the frontend "tflite"."""
    from cvi import plugins

    return {**built_in(), **plugins.converters("tflite")}
