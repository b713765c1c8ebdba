"""Which function converts which TFLite op.

Names are `CONV_2D`; a custom op goes by its own name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from cvi.importing.registry import Converters

if TYPE_CHECKING:
    from cvi_frontend_tflite.node import Node
    from cvi_frontend_tflite.values import Value

Converter = Callable[["Node"], "Value | Sequence[Value]"]
"""From a node to its output, or to its outputs in order."""

_CONVERTERS: Converters[Converter] = Converters("tflite", "cvi_frontend_tflite.converters")

converts = _CONVERTERS.converts
built_in = _CONVERTERS.built_in
all_converters = _CONVERTERS.all_converters
