"""Layers of which OpenCV is no judge: it lacks them or computes them in another way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_LACKING = frozenset({
    "Upsample", "BN", "Mul", "HardSwish", "Embed", "Lstm", "ContinuationIndicator", "MatMul",
    "Reverse", "Squeeze", "DummyData", "FrcnDetection", "YoloDetection", "RetinaFaceDetection",
})  # fmt: skip


def difference(layer: Any) -> str:
    """Why OpenCV's result of a `LayerParameter` is no reference, "" when it is one."""
    kind = str(layer.type)
    if kind in _LACKING:
        return f"OpenCV has no layer {kind}"
    check = _CHECKS.get(kind)
    return check(layer) if check else ""


_CHECKS: dict[str, Callable[[Any], str]] = {}
