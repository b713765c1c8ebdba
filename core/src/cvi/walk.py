"""Through a float network layer by layer with all images, to see what a change of one layer's
result does to the outputs.

The values so far are the unchanged prefix of every trial; only the rest of the network is run
again. Memory holds the live tensors of all images, not those of all layers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from cvi.execute import float_session, needed_ops
from cvi.ir import Array, Graph, Input, Op
from cvi.threads import each

if TYPE_CHECKING:
    from cvi.hookspecs import Executor, ExecutorSession

Values = dict[str, Array]

_MEMORY = 1 << 30


class Walk:
    """The ops that the outputs need, in execution order, one after the other.

    live: for every image the tensors that are still needed; while an op is visited, its
    operands and its result are among them.
    """

    def __init__(
        self,
        graph: Graph,
        images: Sequence[Mapping[str, Array]],
        executors: Sequence[Executor] = (),
    ) -> None:
        self.graph = graph
        self.live: list[Values] = [dict(image) for image in images]
        self._images, self._executors = images, executors
        self._references: list[Values] = []
        self._rest: tuple[str, Graph, ExecutorSession] | None = None

    def __iter__(self) -> Iterator[Op]:
        last = _last_uses(self.graph)
        for op in needed_ops(self.graph, self.graph.outputs):
            self._compute(op)
            yield op
            self._forget(op, last)

    def ahead(self) -> Iterator[Op]:
        """The same ops, each before it is computed: the graph's constants may still be
        replaced by what its operands show."""
        last = _last_uses(self.graph)
        for op in needed_ops(self.graph, self.graph.outputs):
            yield op
            self._compute(op)
            self._forget(op, last)

    def _compute(self, op: Op) -> None:
        if isinstance(op, Input):
            return
        results = each(lambda v: op.evaluate(*_operands(op, self.graph, v)), self.live)
        for values, result in zip(self.live, results, strict=True):
            values[op.name] = result

    def harm(self, op: Op, results: Sequence[Array], images: Sequence[int] | None = None) -> float:
        """What other results of the visited op do to the outputs: their `relative_error` over
        some images, given by their places, by default over all. results: one for each of these.
        """
        rest, session = self._rest_of(op)
        places = range(len(self.live)) if images is None else images

        def outputs(image: tuple[Values, Array]) -> Values:
            values, result = image
            known = {**values, op.name: result}
            return session.run({one.name: known[one.name] for one in rest.inputs})

        found = each(outputs, zip([self.live[i] for i in places], results, strict=True))
        expected = self._expected()
        return relative_error(found, [expected[i] for i in places])

    def _rest_of(self, op: Op) -> tuple[Graph, ExecutorSession]:
        if self._rest is None or self._rest[0] != op.name:
            self._rest = None  # free the last one first
            rest = rest_of(self.graph, self.graph.ops.index(op))
            computes = any(not isinstance(one, Input) for one in rest)
            session = float_session(rest, rest.outputs, self._executors if computes else ())
            self._rest = op.name, rest, session
        return self._rest[1:]

    def _expected(self) -> list[Values]:
        if not self._references:
            session = float_session(self.graph, self.graph.outputs, self._executors)
            self._references = each(session.run, self._images)
        return self._references

    def _forget(self, op: Op, last: Mapping[str, str]) -> None:
        gone = [name for name in dict.fromkeys(op.inputs) if last.get(name) == op.name]
        for values in self.live:
            for name in gone:
                values.pop(name, None)


def _last_uses(graph: Graph) -> dict[str, str]:
    """By name, the last op that reads it; outputs are never forgotten."""
    last: dict[str, str] = {}
    for op in needed_ops(graph, graph.outputs):
        last |= dict.fromkeys(op.inputs, op.name)
    return {name: reader for name, reader in last.items() if name not in graph.outputs}


def images_at_once(graph: Graph) -> int:
    """How many images a walk should go through together, one at least: 1 GiB of tensors."""
    return max(1, _MEMORY // max(live_bytes(graph), 1))


def live_bytes(graph: Graph) -> int:
    """The most that a walk holds at once for one image."""
    last, alive, most = _last_uses(graph), dict[str, int](), 0
    for op in needed_ops(graph, graph.outputs):
        alive[op.name] = op.type.elements * op.type.dtype.size
        most = max(most, sum(alive.values()))
        for name in op.inputs:
            if last.get(name) == op.name:
                alive.pop(name, None)
    return most


def _operands(op: Op, graph: Graph, values: Values) -> list[Array | None]:
    return [
        None if not name else values[name] if name in values else graph.constants[name]
        for name in op.inputs
    ]


def rest_of(graph: Graph, position: int) -> Graph:
    """The ops behind a position that the outputs need, with the tensors they read from
    before it as inputs; outputs that are computed before it are inputs too."""
    later = {op.name for op in graph.ops[position + 1 :]}
    ops = [op for op in needed_ops(graph, graph.outputs) if op.name in later]
    read = [name for op in ops for name in op.inputs if name]
    given = [name for name in dict.fromkeys((*read, *graph.outputs)) if name not in later]
    return piece(graph, [name for name in given if graph.get(name) is not None], ops, graph.outputs)


def piece(graph: Graph, given: Sequence[str], ops: Sequence[Op], outputs: tuple[str, ...]) -> Graph:
    """Some ops of a graph, with the given results as inputs."""
    inputs = [Input(name=name, type=graph.type_of(name)) for name in given]
    used = {name for op in ops for name in op.inputs}
    constants = {name: array for name, array in graph.constants.items() if name in used}
    return Graph(graph.name, [*inputs, *ops], outputs, constants)


def relative_error(found: Sequence[Values], references: Sequence[Values]) -> float:
    """Mean over the outputs of sum |y - r|^2 / sum |r|^2, the sums over all images, in fp64.

    The images' errors are not taken relative to each image's own output: one whose output is
    almost 0 would count more than all others.
    """
    ratios = []
    for name in references[0] if references else ():
        error = power = 0.0
        for values, reference in zip(found, references, strict=True):
            wide = reference[name].astype(np.float64)
            power += float(np.square(wide).sum())
            error += float(np.square(values[name].reshape(wide.shape) - wide).sum())
        ratios.append(error / power if power else float(error > 0))
    return float(np.mean(ratios)) if ratios else 0.0
