"""The constants of a graph under construction, and how many may be computed."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

from cvi.errors import ModelError
from cvi.ir import Array, Graph, Shape

MAX_ELEMENTS = 1 << 28
"""Most elements of one tensor (1 GiB of fp32): more than any chip's memory holds."""

MAX_COMPUTED = 1 << 26
"""Elements that all computed constants of a model may have beyond those of their operands."""

_FREE_ELEMENTS = 1 << 16


class Known(Protocol):
    """A tensor during import: the layer that computes it, or its array if that is known."""

    @property
    def name(self) -> str: ...
    @property
    def array(self) -> Array | None: ...
    @property
    def elements(self) -> int: ...


class GraphConstants:
    """A Graph under construction.

    Constants enter the graph when a layer reads them, once each, under the name they
    have in the model. reserved: names that they may not take. as_fp32: how they are stored.
    """

    def __init__(
        self, name: str, reserved: frozenset[str], as_fp32: Callable[[Array], Array]
    ) -> None:
        self.graph = Graph(name)
        self._reserved, self._as_fp32 = reserved, as_fp32
        self._placed: dict[int, tuple[Array, str]] = {}
        self._computed = 0

    def budget(self, elements: int, given: int, where: str) -> None:
        """Account for a computed constant; ModelError when the model computes absurdly many."""
        check_elements((elements,), f"the constant computed by {where}", MAX_COMPUTED)
        self._computed += max(elements - max(given, _FREE_ELEMENTS), 0)
        check_elements(
            (self._computed,), "all that the model computes from constants", MAX_COMPUTED
        )

    def operand(self, value: Known | None) -> str:
        """The name by which a layer reads a tensor, "" for an absent one."""
        if value is None:
            return ""
        if value.array is None:
            return value.name
        if not value.elements:
            raise ModelError(f"the constant {value.name!r} is empty")
        array, name = self._placed.get(id(value.array), (None, ""))
        if array is None:
            name = self.free_name(value.name or "constant")
            self.graph.constants[name] = self._as_fp32(value.array)
            self._placed[id(value.array)] = (value.array, name)
        return name

    def free_name(self, wanted: str) -> str:
        """A name for a constant that nothing else has."""
        return self.graph.fresh(wanted, self._reserved)


def check_elements(shape: Shape, what: str, limit: int = MAX_ELEMENTS) -> None:
    """Refuse a tensor that cannot be meant seriously, before anything is allocated."""
    if any(size < 0 for size in shape) or math.prod(shape) > limit:
        raise ModelError(
            f"{what} has the shape {'x'.join(map(str, shape))}; the limit is {limit} elements",
            fix="check the model, or fix its input shapes with --input-shape NAME=1,3,H,W",
        )
