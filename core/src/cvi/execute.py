"""Running a graph, float or quantised, by the reference meaning of its ops."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cvi.errors import InputError, UnsupportedError
from cvi.ir import Array, Graph, Input, Op
from cvi.parts import behind, lists, part

if TYPE_CHECKING:
    from cvi.hookspecs import Executor, ExecutorSession


def evaluate(
    graph: Graph,
    inputs: Mapping[str, Array],
    *,
    outputs: Sequence[str] | None = None,
    keep: bool = False,
    exact: bool = True,
) -> dict[str, Array]:
    """The asked layers' results by name.

    outputs: names of any layers; the network outputs when None. keep: all layers'
    results. Only what is asked for is computed, and an array is freed as soon as
    nobody needs it. exact: False takes the sums of BF16 layers in any order, which is much
    faster and differs by a rounding here and there. The results must not be written to:
    they may share memory with the inputs, with constants and with each other. InputError
    when inputs do not fit.
    """
    wanted = list(graph.outputs if outputs is None else outputs)
    if keep:
        wanted = list(dict.fromkeys([*(op.name for op in graph.ops), *wanted]))
    check_names(graph, wanted)
    needed = needed_ops(graph, wanted)
    check_inputs(graph, inputs, {op.name for op in needed})
    uses = _use_counts(needed, wanted)
    values: dict[str, Array] = {}
    for op in needed:
        values[op.name] = result_of(op, graph, values, inputs, exact)
        for name in op.inputs:
            uses[name] = uses.get(name, 0) - 1
            if name in values and uses[name] == 0:
                del values[name]
    return {name: values[name] if name in values else graph.constants[name] for name in wanted}


def result_of(
    op: Op,
    graph: Graph,
    values: Mapping[str, Array],
    inputs: Mapping[str, Array],
    exact: bool = True,
) -> Array:
    """One layer's result from the values of those before it, by its reference meaning."""
    if isinstance(op, Input):
        return inputs[op.name]
    operands = [
        None if not name else values[name] if name in values else graph.constants[name]
        for name in op.inputs
    ]
    return op.evaluate(*operands) if exact else op.estimate(*operands)


def _use_counts(ops: Sequence[Op], wanted: Sequence[str]) -> dict[str, int]:
    counts = dict.fromkeys(wanted, 1)
    for op in ops:
        for name in op.inputs:
            counts[name] = counts.get(name, 0) + 1
    return counts


def needed_ops(graph: Graph, wanted: Sequence[str]) -> list[Op]:
    """The ops that the wanted results depend on, in execution order."""
    needed = set(wanted)
    chosen = []
    for op in reversed(graph.ops):
        if op.name in needed:
            chosen.append(op)
            needed.update(op.inputs)
    return chosen[::-1]


def check_names(graph: Graph, names: Sequence[str]) -> None:
    """InputError unless every name is a layer or a constant of the graph."""
    for name in names:
        if name not in graph:
            raise InputError(
                "the network has no such layer", where=name, fix=_near(name, graph_names(graph))
            )


def graph_names(graph: Graph) -> list[str]:
    """Names of all layers."""
    return [op.name for op in graph.ops]


def check_inputs(graph: Graph, inputs: Mapping[str, Array], needed: set[str]) -> None:
    """InputError unless the arrays fit the network's inputs (those in `needed` must be there)."""
    known = {op.name: op for op in graph.inputs}
    for name in inputs:
        if name not in known:
            raise InputError("the network has no such input", where=name, fix=_near(name, known))
    for name, op in known.items():
        if name in inputs:
            _check_array(op, inputs[name])
        elif name in needed:
            raise InputError(f"an input of {op.type} is missing", where=name)


def _check_array(op: Input, array: Array) -> None:
    if tuple(array.shape) != op.type.shape or array.dtype != op.type.dtype.numpy:
        dims = "x".join(map(str, array.shape)) or "scalar"
        raise InputError(
            f"the input is {op.type} but the array is {array.dtype}[{dims}]", where=op.name
        )


def _near(name: str, known: Sequence[str] | Mapping[str, object]) -> str:
    near = difflib.get_close_matches(name, list(known), n=3)
    choices = near or list(known)[:3]
    return f"did you mean {', '.join(choices)}?" if choices else ""


@dataclass(frozen=True)
class NumpySession:
    """The numpy reference behind the interface of a fast executor."""

    graph: Graph
    outputs: tuple[str, ...]

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        return evaluate(self.graph, inputs, outputs=self.outputs)


@dataclass(frozen=True)
class SplitSession:
    """A fast session of the first layers, and the numpy reference of the last ones.

    outputs: those of the last layers.
    """

    first: ExecutorSession
    last: Graph
    outputs: tuple[str, ...]

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        values = self.first.run(inputs)
        given = {op.name: values[op.name] for op in self.last.inputs}
        return values | evaluate(self.last, given, outputs=self.outputs)


def float_session(
    graph: Graph, outputs: Sequence[str] | None = None, executors: Sequence[Executor] = ()
) -> ExecutorSession:
    """A session of the first executor that knows all ops, at least up to the first lists of
    boxes; else of the numpy reference."""
    wanted = graph.outputs if outputs is None else tuple(outputs)
    check_names(graph, wanted)
    for executor in executors:
        for session in (_whole_session, _split_session):
            try:
                return session(graph, wanted, executor)
            except UnsupportedError:
                continue
    return NumpySession(graph, tuple(wanted))


def _whole_session(graph: Graph, wanted: Sequence[str], executor: Executor) -> ExecutorSession:
    return executor.session(graph, wanted)


def _split_session(graph: Graph, wanted: Sequence[str], executor: Executor) -> ExecutorSession:
    """Lists of boxes and what is computed from them are the last layers."""
    boxes = lists(graph)
    if not boxes:
        raise UnsupportedError("there is no list of boxes to split the network at")
    tail = {*boxes, *behind(graph, boxes)}
    last = part(graph, tail)
    head = graph.replace(ops=[op for op in graph.ops if op.name not in tail], outputs=())
    early = [name for name in wanted if name not in tail]
    names = list(dict.fromkeys([*early, *(op.name for op in last.inputs)]))
    late = tuple(name for name in wanted if name in tail)
    return SplitSession(executor.session(head, names), last, late)


def run_float(
    graph: Graph,
    inputs: Mapping[str, Array],
    outputs: Sequence[str] | None = None,
    executors: Sequence[Executor] = (),
) -> dict[str, Array]:
    """The asked layers of a float graph, on the first executor that can run it."""
    wanted = graph.outputs if outputs is None else tuple(outputs)
    check_names(graph, wanted)
    check_inputs(graph, inputs, {op.name for op in needed_ops(graph, wanted)})
    results = float_session(graph, wanted, executors).run(inputs)
    return {name: np.asarray(results[name]) for name in wanted}
