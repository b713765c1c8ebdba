"""Fixtures of the Caffe frontend's tests."""

from __future__ import annotations

from caffe_nets import made

__all__ = ["made"]
