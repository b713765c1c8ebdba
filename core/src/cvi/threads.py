"""The same for several images at once: a thread for each, whose matrix products take one.

The threads of a BLAS wait for each other at every small product, which costs more than it
gains; images are independent of each other.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

Item = TypeVar("Item")
Result = TypeVar("Result")


def each(function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """What the function gives for every item, in order; it is called in several threads, and
    must not itself use `each`, whose threads would wait for each other."""
    with _blas().limit(limits=1):
        return list(_threads(os.getpid()).map(function, items))


@cache
def _threads(process: int) -> ThreadPoolExecutor:
    """The threads of a process: they stay, for their memory does. A forked process has its own."""
    del process
    return ThreadPoolExecutor(os.cpu_count() or 1)


@cache
def _blas() -> ThreadpoolController:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
