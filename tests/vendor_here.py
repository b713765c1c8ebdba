"""Marks tests that need the vendor's libraries."""

from __future__ import annotations

import pytest

from cvi_runner_vendor import libraries

VENDOR = not libraries.missing(libraries.library_folder())
"""Whether the libraries are installed (`cvi vendor install`, or CVI_VENDOR_LIB)."""

needs_vendor = pytest.mark.skipif(
    not VENDOR, reason="the vendor's libraries are not installed: cvi vendor install"
)
