"""In which order layers go to BF16, from what each of them costs in INT8.

Errors of several layers about add up. What a layer in INT8 costs is in part its own (rounded
weights, sums), in part that of tensors: its operands and its result are int8. A tensor is
rounded as long as the layer that makes it or one that reads it is in INT8, so a layer alone
among others in INT8 gains little by BF16, and one that closes a gap gains much.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from operator import itemgetter

from cvi.ir import Graph
from cvi.ops import Movement
from cvi.ops.followers import FOLLOWERS
from cvi.search.sensitivity import Loss


def ordered(graph: Graph, losses: Mapping[str, Loss]) -> dict[str, float]:
    """The layers in the order in which BF16 does most good, each with the loss that it takes
    away when those before it are in BF16 already.

    losses: by name, of layers, and of network inputs for their rounding alone. All layers are
    in BF16 at first; then one after the other goes back to INT8, always the one that costs
    least, of equals the last one. The order is the reverse of this.
    """
    costs = _Costs(graph, losses)
    left = [name for name, loss in losses.items() if loss.loss is not None]
    returned: dict[str, float] = {}
    while left:
        cost, cheapest = min(
            ((costs.of_int8(name), name) for name in reversed(left)), key=itemgetter(0)
        )
        returned[cheapest] = cost
        costs.int8.add(cheapest)
        left.remove(cheapest)
    return dict(reversed(returned.items()))


class _Costs:
    """What rounding costs while the layers `int8` are in INT8, and all others in BF16."""

    def __init__(self, graph: Graph, losses: Mapping[str, Loss]) -> None:
        self._graph, self._losses = graph, losses
        self.int8: set[str] = set()
        self._tensors = {name: self._tensors_of(name) for name in losses}
        self._ends: dict[str, set[str]] = {name: set() for name in losses}
        for name, tensors in self._tensors.items():
            for tensor in tensors:
                self._ends[tensor].add(name)
        self._own = {n: self._own_of(n, one.loss) for n, one in losses.items() if one.loss}

    def of_int8(self, name: str) -> float:
        """What one more layer in INT8 costs."""
        fresh = [one for one in self._tensors[name] if not self._ends[one] & self.int8]
        return self._own.get(name, 0.0) + self._rounding(fresh)

    def _own_of(self, name: str, loss: float) -> float:
        """What a layer costs beside the rounding of its operands and its result."""
        return max(0.0, loss - self._rounding(self._tensors[name]))

    def _rounding(self, tensors: Iterable[str]) -> float:
        return sum(self._losses[tensor].rounding for tensor in tensors)

    def _tensors_of(self, name: str) -> tuple[str, ...]:
        """A layer's operands and its result, in a fixed order: so are sums over them."""
        operands = (self._sources(operand) for operand in self._graph[name].inputs)
        return tuple(sorted({name}.union(*operands)))

    def _sources(self, name: str) -> set[str]:
        """The tensors with a loss that a value is moved from."""
        op = self._graph.get(name)
        if op is None:
            return set()
        if isinstance(op, (Movement, *FOLLOWERS)):
            return set().union(*map(self._sources, op.inputs))
        return {name} & self._losses.keys()
