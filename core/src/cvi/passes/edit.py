"""One sweep over a graph that replaces ops by others.

A sweep looks at every op once, in execution order. The part of the graph before it is
already rewritten; producers and use counts are those of the rewritten graph, so a chain
can shrink in one sweep.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from cvi.ir import Array, Graph, Input, Op, TensorType


@dataclass(frozen=True)
class Alias:
    """The op's result equals another tensor: its users read that one instead."""

    target: str


@dataclass(frozen=True, eq=False)
class Constant:
    """The op's result is known."""

    value: Array


Replacement = Op | Sequence[Op] | Alias | Constant | None
Rewrite = Callable[[Op, "Edit"], Replacement]


class Edit:
    """A graph while it is rewritten.

    A replacement's last op has the name, and so the users, of the op it stands for.
    Whatever is no longer needed is removed at the end; network inputs always stay.
    """

    def __init__(self, graph: Graph) -> None:
        self.original = graph
        self.graph = graph.replace(ops=[])
        self.uses = graph.use_counts()
        self.changed: list[str] = []
        self._alias: dict[str, str] = {}

    # -- looking ----------------------------------------------------------

    def producer(self, name: str) -> Op | None:
        """The op before the current one with that name; None for constants."""
        return self.graph.get(name)

    def single(self, name: str) -> Op | None:
        """The producer if it may be absorbed: read once, no network input or output."""
        op = self.graph.get(name)
        free = self.uses[name] == 1 and name not in self.graph.outputs
        return op if free and not isinstance(op, Input) else None

    def constant(self, name: str) -> Array | None:
        """The value of a constant operand; None when it is none."""
        return self.graph.constants.get(name)

    def type_of(self, name: str) -> TensorType:
        return self.graph.type_of(name)

    # -- changing ---------------------------------------------------------

    def add_constant(self, name: str, array: Array) -> str:
        """Add an fp32 constant under a free name derived from `name`; returns that name."""
        free = self.fresh(name)
        self.graph.constants[free] = np.ascontiguousarray(array, dtype=np.float32)
        return free

    def fresh(self, name: str) -> str:
        """A name that neither graph uses."""
        return self.graph.fresh(name, self.original)

    def sweep(self, rewrite: Rewrite) -> None:
        """Offer every op to `rewrite`."""
        for op in self.original.ops:
            if any(name in self._alias for name in op.inputs):
                op = op.with_(inputs=tuple(self._alias.get(n, n) for n in op.inputs))
            self._take(op, rewrite(op, self))

    def finish(self) -> Graph:
        """The rewritten graph without the ops and constants that nobody needs."""
        needed = set(self.graph.outputs)
        ops: list[Op] = []
        for op in reversed(self.graph.ops):
            if op.name in needed or isinstance(op, Input):
                ops.append(op)
                needed.update(op.inputs)
        constants = {k: v for k, v in self.graph.constants.items() if k in needed}
        return self.graph.replace(ops=ops[::-1], constants=constants)

    def _take(self, op: Op, replacement: Replacement) -> None:
        if replacement is None:
            self.graph.append(op)
        elif isinstance(replacement, Alias):
            self._redirect(op, replacement.target)
        elif isinstance(replacement, Constant):
            self._freeze(op, replacement.value)
        else:
            ops = [replacement] if isinstance(replacement, Op) else list(replacement)
            self._emit(op, ops)

    def _emit(self, op: Op, ops: Sequence[Op]) -> None:
        for new in ops:
            typed = self.graph.add(new)
            self.uses.update(n for n in new.inputs if n)
        if (typed.name, typed.type) != (op.name, op.type):
            raise RuntimeError(f"{op.kind} {op.name} of {op.type} was replaced by {typed}")
        self.changed.append(op.name)
        for name in op.inputs:
            self._release(name)

    def _redirect(self, op: Op, target: str) -> None:
        """Remove an op whose value is `target`; an output hands its name to the producer."""
        if op.name not in self.graph.outputs:
            self._alias[op.name] = target
            self.uses[target] += self.uses[op.name] - 1
            self.changed.append(op.name)
            return
        producer = self.single(target)
        if producer is None:
            self.graph.append(op)
        else:
            source = op.source or producer.source
            self._emit(op, [producer.with_(name=op.name, source=source)])

    def _freeze(self, op: Op, value: Array) -> None:
        self.graph.constants[op.name] = value
        self.changed.append(op.name)
        for name in op.inputs:
            self._release(name)

    def _release(self, name: str) -> None:
        """One reader less; an op that is not read any more reads nothing itself."""
        pending = [name]
        while pending:
            current = pending.pop()
            self.uses[current] -= 1
            op = self.graph.get(current)
            if op is not None and self.uses[current] == 0:
                pending.extend(op.inputs)
