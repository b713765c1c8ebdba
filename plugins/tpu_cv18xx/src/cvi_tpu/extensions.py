"""What other distributions add to this chip family (hook `cvi_register_kernels`).

Built-in kernels and functions are found without this module; it is asked when they do not
know an op or a function.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from cvi.errors import PluginError

FAMILY = "cv18xx"
"""The name that the hook is asked with."""


def plugin_functions(built_in: Container[str]) -> dict[str, Any]:
    """CPU functions of plugins, by the name that program files call them by.

    PluginError when one has the name of a built-in function, or two have the same.
    """
    return {str(k): thing for k, thing in _additions(built_in).items() if isinstance(k, str)}


def plugin_kernel(kind: type[Any], built_in: Container[type[Any]]) -> Any:
    """What a plugin gives for a quantised op class; None when no plugin has any."""
    return _additions(built_in).get(kind)


def _additions(built_in: Container[Any]) -> dict[Any, Any]:
    from cvi.plugins import kernels, manager

    found = kernels(FAMILY)
    for key in found:
        if key in built_in:
            results = manager().results("cvi_register_kernels", family=FAMILY)
            owner = next(about for about, part in results if key in part)
            raise PluginError(
                f"{FAMILY} kernel {getattr(key, '__name__', key)!r} is provided by both"
                f" cvi-tpu-cv18xx and {owner.label}",
                fix=f"uninstall it: pip uninstall {owner.distribution}",
            )
    return found
