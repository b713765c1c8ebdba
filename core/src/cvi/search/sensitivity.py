"""How much each layer harms the outputs when it alone is computed in INT8."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cvi.execute import evaluate, needed_ops
from cvi.flow.real import quantised_input, real
from cvi.ir import Array, DType, Graph, Input, Op
from cvi.ops import Movement
from cvi.walk import Values, Walk, piece

if TYPE_CHECKING:
    from cvi.hookspecs import Executor


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
    walk = Walk(graph, images, executors)
    for op in walk:
        alone = layer_alone(quantised, op) if op.name in wanted else None
        if alone is not None:
            yield Loss(op.name, walk.harm(op, _results(op, alone, quantised, walk.live)))


def layer_alone(quantised: Graph, layer: Op) -> Graph | None:
    """What computes a float layer in the quantised graph, from the layer's own operands in
    the types that they have there; None when an operand does not appear there."""
    given = [name for name in dict.fromkeys(layer.inputs) if quantised.get(name) is not None]
    needed: set[str] = {layer.name}
    ops: list[Op] = []
    for op in reversed(quantised.ops):
        if op.name in needed and op.name not in given:
            ops.append(op)
            needed.update(op.inputs)
    if any(isinstance(op, Input) for op in ops):
        return None
    return piece(quantised, given, ops[::-1], (layer.name,))


def _results(op: Op, alone: Graph, quantised: Graph, live: Sequence[Values]) -> list[Array]:
    """What the layer gives in INT8 for the float operands, as real numbers."""
    kind = quantised.type_of(op.name)
    results = []
    for values in live:
        fed = {one.name: quantised_input(one, values[one.name]) for one in alone.inputs}
        results.append(real(evaluate(alone, fed)[op.name], kind))
    return results
