"""Which function converts which Caffe layer type."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from cvi.importing.registry import Converters

if TYPE_CHECKING:
    from cvi_frontend_caffe.layer import Layer
    from cvi_frontend_caffe.values import Value

Converter = Callable[["Layer"], "Value | Sequence[Value]"]
"""From a layer to its top, or to its tops in order."""

_CONVERTERS: Converters[Converter] = Converters("caffe", "cvi_frontend_caffe.converters")

converts = _CONVERTERS.converts
built_in = _CONVERTERS.built_in
all_converters = _CONVERTERS.all_converters
