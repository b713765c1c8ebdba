"""Which function converts which Caffe layer type."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cvi_frontend_caffe.layer import Layer
    from cvi_frontend_caffe.values import Value

Converter = Callable[["Layer"], "Value | Sequence[Value]"]
"""From a layer to its top, or to its tops in order."""

_BUILT_IN: dict[str, Converter] = {}


def converts(*types: str) -> Callable[[Converter], Converter]:
    """Register the converter of these layer types."""

    def register(converter: Converter) -> Converter:
        for type in types:
            _BUILT_IN[type] = converter
        return converter

    return register


@functools.cache
def built_in() -> Mapping[str, Converter]:
    """Our own converters by layer type."""
    from cvi_frontend_caffe import converters

    converters.load()
    return dict(_BUILT_IN)


def all_converters() -> dict[str, Converter]:
    """Our own converters, and those that other plugins register for the frontend "caffe"."""
    from cvi import plugins

    return {**built_in(), **plugins.converters("caffe")}
