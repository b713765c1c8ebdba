"""One BLAS thread while we simulate.

An instruction multiplies small matrices: OpenBLAS's other threads would wait for work most
of the time, and they wait by spinning.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

_SYMBOLS = ("scipy_openblas_{}_num_threads64_", "scipy_openblas_{}_num_threads",
            "openblas_{}_num_threads64_", "openblas_{}_num_threads")  # fmt: skip


@contextmanager
def single_threaded() -> Iterator[None]:
    """Let numpy's own OpenBLAS use one thread; does nothing where there is none."""
    control = _control()
    if control is None:
        yield
        return
    get, set_ = control
    before = get()
    set_(1)
    try:
        yield
    finally:
        set_(before)


@functools.cache
def _control() -> tuple[Callable[[], int], Callable[[int], None]] | None:
    """Getter and setter of the thread count of the OpenBLAS that numpy's wheel brings."""
    package = Path(np.__file__).parent
    folders = (package.parent / "numpy.libs", package / ".dylibs")
    for path in (p for folder in folders for p in sorted(folder.glob("*openblas*"))):
        try:
            library = ctypes.CDLL(str(path))
        except OSError:
            continue
        for symbol in _SYMBOLS:
            get = getattr(library, symbol.format("get"), None)
            set_ = getattr(library, symbol.format("set"), None)
            if get is not None and set_ is not None:
                return get, set_
    return None
