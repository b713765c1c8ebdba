"""Which function converts which ONNX op.

Names are `Conv`; `domain.Op` outside ONNX's own domain.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from cvi.importing.registry import Converters

if TYPE_CHECKING:
    from cvi_frontend_onnx.node import Node
    from cvi_frontend_onnx.values import Value

Converter = Callable[["Node"], "Value | Sequence[Value]"]
"""From a node to its output, or to its outputs in order."""

_CONVERTERS: Converters[Converter] = Converters("onnx", "cvi_frontend_onnx.converters")

converts = _CONVERTERS.converts
built_in = _CONVERTERS.built_in
all_converters = _CONVERTERS.all_converters
