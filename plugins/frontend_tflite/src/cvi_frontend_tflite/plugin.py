"""What this distribution gives to cvi: the TFLite frontend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cvi.hookspecs import Frontend, hookimpl

if TYPE_CHECKING:
    from cvi_frontend_tflite.registry import Converter


@hookimpl
def cvi_register_frontends() -> Sequence[Frontend]:
    from cvi_frontend_tflite.frontend import TfliteFrontend

    return [TfliteFrontend()]


@hookimpl
def cvi_register_converters(frontend: str) -> Mapping[str, Any]:
    from cvi_frontend_tflite.registry import built_in

    ours: Mapping[str, Converter] = built_in() if frontend == "tflite" else {}
    return ours
