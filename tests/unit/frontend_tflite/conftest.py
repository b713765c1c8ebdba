"""Fixtures of the TFLite frontend's tests."""

from __future__ import annotations

from tflite_compare import agree, in_process

__all__ = ["agree", "in_process"]
