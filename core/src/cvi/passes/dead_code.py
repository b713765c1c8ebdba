"""Remove what no network output depends on."""

from __future__ import annotations

from cvi.ir import Graph, Input
from cvi.passes.base import Pass
from cvi.passes.edit import Edit


class RemoveDeadCode(Pass):
    """Ops and constants that no network output needs are removed; network inputs stay."""

    name = "remove-dead-code"

    def apply(self, graph: Graph) -> Graph:
        edit = Edit(graph)
        edit.sweep(lambda op, _: None)
        swept = edit.finish()
        same = (len(swept.ops), len(swept.constants)) == (len(graph.ops), len(graph.constants))
        return graph if same else swept

    def ensures(self, graph: Graph) -> list[str]:
        uses = graph.use_counts()
        return [
            f"{op.name} is read by nobody"
            for op in graph.ops
            if not uses[op.name] and not isinstance(op, Input)
        ]
