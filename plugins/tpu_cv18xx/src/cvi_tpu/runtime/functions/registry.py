"""The CPU functions that our runtime knows, by the name that a file calls them by."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence

from cvi.errors import UnsupportedError
from cvi.ir.types import Array
from cvi_tpu.extensions import plugin_functions
from cvi_tpu.runtime.functions.call import Call

CpuFunction = Callable[[Call], Sequence[Array]]
"""Gives one array per output: as many values of the output's type as it has elements."""

_FUNCTIONS: dict[str, CpuFunction] = {}


def cpu_function(*names: str) -> Callable[[CpuFunction], CpuFunction]:
    """Register the decorated function under these names of the vendor's runtime."""

    def register(function: CpuFunction) -> CpuFunction:
        for name in names:
            _FUNCTIONS[name] = function
        return function

    return register


def find_cpu_function(name: str) -> CpuFunction:
    """The function of that name: the vendor's, else a plugin's (`cvi_register_kernels`).

    UnsupportedError names the nearest ones.
    """
    if name in _FUNCTIONS:
        return _FUNCTIONS[name]
    theirs: dict[str, CpuFunction] = plugin_functions(_FUNCTIONS)
    if name in theirs:
        return theirs[name]
    near = difflib.get_close_matches(name, [*_FUNCTIONS, *theirs], n=3)
    raise UnsupportedError(
        f"the simulator has no CPU function {name!r}"
        + (f"; did you mean {', '.join(near)}?" if near else ""),
        fix="run the file with `--runner vendor`, or install the plugin that has the function",
    )
