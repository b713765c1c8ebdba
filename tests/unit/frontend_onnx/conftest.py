"""Fixtures of the ONNX frontend's tests."""

from __future__ import annotations

from onnx_models import build

__all__ = ["build"]
