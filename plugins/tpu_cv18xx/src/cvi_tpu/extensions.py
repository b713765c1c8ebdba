"""What other distributions add to this chip family (hook `cvi_register_kernels`)."""

from __future__ import annotations

from typing import Any

FAMILY = "cv18xx"
"""The name that the hook is asked with."""


def plugin_functions() -> dict[str, Any]:
    """CPU functions of plugins, by the name that program files call them by."""
    from cvi.plugins import kernels

    return {key: value for key, value in kernels(FAMILY).items() if isinstance(key, str)}
