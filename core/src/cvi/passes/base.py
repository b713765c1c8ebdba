"""What a pass is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from cvi.ir import Graph, Op
from cvi.passes.edit import Edit, Replacement

_SWEEPS = 10_000


class Pass(ABC):
    """A rewriting of graphs that keeps the values of all network outputs.

    name: how it is called in messages. requires: names of passes that must have nothing
    left to do when this one runs.
    """

    name: ClassVar[str]
    requires: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def apply(self, graph: Graph) -> Graph:
        """The rewritten graph; the very same object when there is nothing to do."""

    def ensures(self, graph: Graph) -> list[str]:
        """Layers that contradict what holds after `apply`; empty when all is well."""
        return [] if self.apply(graph) is graph else ["the pass still has something to do"]


class RewritePass(Pass):
    """A pass of local rewritings, repeated until no op matches any more."""

    @abstractmethod
    def rewrite(self, op: Op, edit: Edit) -> Replacement:
        """What stands for the op, or None to leave it as it is."""

    def apply(self, graph: Graph) -> Graph:
        for _ in range(_SWEEPS):
            edit = Edit(graph)
            edit.sweep(self.rewrite)
            if not edit.changed:
                return graph
            graph = edit.finish()
        raise RuntimeError(f"pass {self.name} does not come to an end")

    def ensures(self, graph: Graph) -> list[str]:
        edit = Edit(graph)
        edit.sweep(self.rewrite)
        return [f"{name} could still be rewritten by {self.name}" for name in edit.changed]
