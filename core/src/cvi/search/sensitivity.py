"""How much each layer harms the outputs when it alone is computed in INT8."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cvi.execute import evaluate, needed_ops
from cvi.flow.real import quantised_input, real
from cvi.ir import Array, DType, Graph, Input, Op
from cvi.ops import Movement
from cvi.ops.followers import FOLLOWERS
from cvi.threads import each
from cvi.walk import Values, Walk, piece

if TYPE_CHECKING:
    from cvi.hookspecs import Executor


@dataclass(frozen=True)
class Loss:
    """What INT8 does to the outputs: their `cvi.walk.relative_error` over all images, sum
    |y - y32|^2 / sum |y32|^2; errors of several layers about add up.

    loss: when only this layer is in INT8, its operands and its result too; None of an input.
    rounding: when only its result is rounded to int8.
    """

    layer: str
    loss: float | None
    rounding: float


def candidates(graph: Graph, quantised: Graph) -> list[str]:
    """Network inputs that are int8, and layers that compute in INT8: BF16 could change
    something there. Layers that follow their neighbours are none."""
    return [
        op.name
        for op in needed_ops(graph, graph.outputs)
        if not isinstance(op, (Movement, *FOLLOWERS)) and _is_int8(op, quantised)
    ]


def _is_int8(op: Op, quantised: Graph) -> bool:
    found = quantised.get(op.name)
    return found is not None and found.type.dtype is DType.INT8


def losses(
    graph: Graph,
    quantised: Graph,
    images: Sequence[Mapping[str, Array]],
    *,
    known: Container[str] = (),
    executors: Sequence[Executor] = (),
) -> Iterator[Loss]:
    """The losses of every candidate, in execution order, as soon as they are known.

    known: layers that need not be measured again; they are not given.
    """
    wanted = {name for name in candidates(graph, quantised) if name not in known}
    walk = Walk(graph, images, executors)
    for op in walk:
        if op.name not in wanted:
            continue
        loss = None
        if not isinstance(op, Input):
            alone = layer_alone(quantised, op)
            if alone is None:
                continue
            loss = walk.harm(op, _results(op, alone, quantised, walk.live))
        yield Loss(op.name, loss, walk.harm(op, _rounded(op, quantised, walk.live)))


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


def _rounded(op: Op, quantised: Graph, live: Sequence[Values]) -> list[Array]:
    """The float results as the int8 tensor holds them."""
    kind = quantised.type_of(op.name)
    holder = Input(name=op.name, type=kind)
    return [real(quantised_input(holder, values[op.name]), kind) for values in live]


def _results(op: Op, alone: Graph, quantised: Graph, live: Sequence[Values]) -> list[Array]:
    """What the layer gives in INT8 for the float operands, as real numbers."""
    kind = quantised.type_of(op.name)

    def result(values: Values) -> Array:
        fed = {one.name: quantised_input(one, values[one.name]) for one in alone.inputs}
        return real(evaluate(alone, fed)[op.name], kind)

    return each(result, live)
