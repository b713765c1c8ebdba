"""How much each layer harms the outputs when it alone is computed in INT8.

All images go through the float network together, layer by layer. At every layer the values
so far are the unchanged prefix; the layer's INT8 form runs on them, and only the rest of
the network is run with its result. Memory holds the live tensors of all images, not all
layers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cvi.execute import float_session, needed_ops
from cvi.flow.real import quantised_input, real
from cvi.ir import Array, DType, Graph, Input, Op
from cvi.ops import Movement
from cvi.search.cuts import layer_alone, rest_of

if TYPE_CHECKING:
    from cvi.hookspecs import Executor

Values = dict[str, Array]


@dataclass(frozen=True)
class Loss:
    """loss: mean over images and outputs of the relative error |y - y32|^2 / |y32|^2 when
    only this layer is in INT8; errors of several layers about add up."""

    layer: str
    loss: float


def candidates(graph: Graph, quantised: Graph) -> list[str]:
    """Layers that compute in INT8: BF16 could change something there."""
    return [
        op.name
        for op in needed_ops(graph, graph.outputs)
        if not isinstance(op, (Input, Movement)) and _computes(op, quantised)
    ]


def _computes(op: Op, quantised: Graph) -> bool:
    found = quantised.get(op.name)
    return found is not None and found.type.dtype is DType.INT8


def losses(
    graph: Graph,
    quantised: Graph,
    images: Sequence[Mapping[str, Array]],
    *,
    known: Mapping[str, float] | None = None,
    executors: Sequence[Executor] = (),
) -> Iterator[Loss]:
    """The loss of every candidate, in execution order, as soon as it is known.

    known: layers that need not be measured again; they are not given.
    """
    wanted = set(candidates(graph, quantised)) - set(known or {})
    live: list[Values] = [dict(image) for image in images]
    references: list[Values] | None = None
    ops, uses = needed_ops(graph, graph.outputs), _last_uses(graph)
    for op in ops:
        if not isinstance(op, Input):
            altered = _int8_results(op, quantised, live) if op.name in wanted else None
            for values in live:
                values[op.name] = op.evaluate(*_operands(op, graph, values))
            if altered is not None:
                rest = rest_of(graph, graph.ops.index(op))
                references = references or _outputs(graph, images, executors)
                yield Loss(op.name, _loss(rest, live, op.name, altered, references, executors))
        _forget(live, op, uses)


def _last_uses(graph: Graph) -> dict[str, str]:
    """By name, the last op that reads it; outputs are never forgotten."""
    last: dict[str, str] = {}
    for op in needed_ops(graph, graph.outputs):
        last |= dict.fromkeys(op.inputs, op.name)
    return {name: reader for name, reader in last.items() if name not in graph.outputs}


def _forget(live: Sequence[Values], op: Op, uses: Mapping[str, str]) -> None:
    gone = [name for name in dict.fromkeys(op.inputs) if uses.get(name) == op.name]
    for values in live:
        for name in gone:
            values.pop(name, None)


def _operands(op: Op, graph: Graph, values: Values) -> list[Array | None]:
    return [
        None if not name else values[name] if name in values else graph.constants[name]
        for name in op.inputs
    ]


def _int8_results(op: Op, quantised: Graph, live: Sequence[Values]) -> list[Array] | None:
    """What the layer gives in INT8 for the float operands, as real numbers."""
    from cvi.execute import evaluate

    piece = layer_alone(quantised, op)
    if piece is None:
        return None
    kind = quantised.type_of(op.name)
    results = []
    for values in live:
        fed = {one.name: quantised_input(one, values[one.name]) for one in piece.inputs}
        results.append(real(evaluate(piece, fed)[op.name], kind))
    return results


def _outputs(
    graph: Graph, images: Sequence[Mapping[str, Array]], executors: Sequence[Executor]
) -> list[Values]:
    session = float_session(graph, graph.outputs, executors)
    return [session.run(image) for image in images]


def _loss(
    rest: Graph,
    live: Sequence[Values],
    name: str,
    altered: Sequence[Array],
    references: Sequence[Values],
    executors: Sequence[Executor],
) -> float:
    computes = any(not isinstance(op, Input) for op in rest)
    session = float_session(rest, rest.outputs, executors if computes else ())
    errors = []
    for values, result, reference in zip(live, altered, references, strict=True):
        fed = {op.name: values[op.name] for op in rest.inputs} | (
            {name: result} if rest.get(name) is not None else {}
        )
        errors.append(relative_error(session.run(fed), reference))
    return float(np.mean(errors))


def relative_error(found: Mapping[str, Array], reference: Mapping[str, Array]) -> float:
    """Mean over the outputs of |y - r|^2 / |r|^2 in fp64."""
    errors = []
    for name, expected in reference.items():
        wide = expected.astype(np.float64)
        power = float(np.square(wide).sum())
        error = float(np.square(found[name].reshape(wide.shape) - wide).sum())
        errors.append(error / power if power else float(error > 0))
    return float(np.mean(errors)) if errors else 0.0
