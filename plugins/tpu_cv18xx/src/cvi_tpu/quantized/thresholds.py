"""Which threshold every tensor is quantised with (FACTS_TOOLCHAIN 5.3).

The calibration table says what each tensor needs on its own. Ops that do not rescale
(data movement, pooling by maximum, clamps) must share one threshold between operand
and result, and a concatenation is cheapest when its operands have the result's:

1. fixed values: sigmoid, tanh; 127 for the mask of a pool, whose 1 is one step; a clamp
   at m limits the threshold to m;
2. backward, from the last op to the first: the only user of a tensor passes its own
   threshold to it when it is a concatenation or one of `Takes its operand's` below;
3. forward: those ops take their operand's threshold, whatever step 2 gave them, and the
   product with a mask takes that of the other operand;
4. sums, from the last one to the first: an operand's threshold is changed to the nearest one
   with which its multiplier, which has 8 bits only, is exact (by 1 part in 250 at most for the
   operand with the largest steps), and with it those that share it.
"""

from __future__ import annotations

import math
from collections.abc import Container

from cvi.calibrate.table import CalibrationTable
from cvi.errors import InputError
from cvi.ir import Graph, Input, Op
from cvi.ops import (
    Abs,
    Add,
    Clip,
    Concat,
    LeakyRelu,
    MaxPool2d,
    Movement,
    Mul,
    PoolMask,
    Relu,
    Sigmoid,
    Sub,
    Unary,
)
from cvi_tpu.quantized.scales import LOWEST, OFFSET_STEPS, STEPS, add_limit, add_rates

KEEPS_THRESHOLD = (Movement, MaxPool2d, Relu, LeakyRelu, Clip, Abs)
"""Ops whose result has its operand's threshold (Concat, a Movement, is treated apart)."""


class Thresholds:
    """The threshold of every tensor of a graph.

    A tensor that the table lacks is an InputError when it is asked for: results of
    layers that stay in float need none.
    """

    def __init__(self, graph: Graph, table: CalibrationTable | None) -> None:
        if table is None:
            raise no_table(graph)
        self.table = table
        self._values = _initial(graph, table)
        _backward(graph, self._values)
        _forward(graph, self._values)

    def suit_sums(self, graph: Graph, offsets: Container[str] = ()) -> None:
        """Step 4. offsets: the tensors that are stored from -128 on."""
        _suit_sums(graph, self._values, offsets)

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def __getitem__(self, name: str) -> float:
        known = self._values.get(name)
        return self.table.threshold(name) if known is None else known


def no_table(graph: Graph) -> InputError:
    """The error of a network that needs thresholds and has none."""
    return InputError(
        "INT8 needs a calibration table",
        where=graph.name,
        fix="make one with `cvi calibrate`",
    )


def _initial(graph: Graph, table: CalibrationTable) -> dict[str, float]:
    values = {}
    for op in graph.ops:
        fixed = _fixed(op)
        value = fixed if fixed is not None else _from_table(op, table)
        if value is not None:
            values[op.name] = value
    return values


def _from_table(op: Op, table: CalibrationTable) -> float | None:
    if op.name not in table:
        return None
    value = table.threshold(op.name)
    limit = upper_bound(op)
    return value if limit is None else min(value, limit)


def _fixed(op: Op) -> float | None:
    """The threshold that an op has by definition."""
    if isinstance(op, Sigmoid):
        return max(abs(op.bias), abs(op.scale + op.bias)) or None
    if isinstance(op, PoolMask):
        return float(STEPS)
    return op.fixed_threshold if isinstance(op, Unary) else None


def upper_bound(op: Op) -> float | None:
    """What the absolute value of the result cannot exceed because of a clamp."""
    if isinstance(op, Clip):
        limit: float | None = max(abs(op.minimum), abs(op.maximum))
    elif isinstance(op, Relu):
        limit = op.maximum
    else:
        limit = getattr(op, "relu_max", None)
    return limit if limit else None


def _keeps(op: Op) -> bool:
    return isinstance(op, KEEPS_THRESHOLD) and not isinstance(op, Concat)


def _backward(graph: Graph, values: dict[str, float]) -> None:
    uses = graph.use_counts()
    for op in reversed(graph.ops):
        passes_on = isinstance(op, Concat) or (_keeps(op) and not isinstance(op, Abs))
        if not passes_on or op.name not in values:
            continue
        for name in op.inputs:
            producer = graph.get(name)
            free = producer and not isinstance(producer, (Input, PoolMask))
            if free and uses[name] == 1:
                values[name] = values[op.name]


def _forward(graph: Graph, values: dict[str, float]) -> None:
    for op in graph.ops:
        if _keeps(op) and op.inputs[0] in values:
            values[op.name] = values[op.inputs[0]]
        masked = _masked(op, graph)
        if masked in values:
            values[op.name] = values[masked]


def _masked(op: Op, graph: Graph) -> str:
    """What a product with the mask of a pool masks; "" for other ops."""
    if not isinstance(op, Mul) or len(op.inputs) != 2:
        return ""
    for name, other in (op.inputs, op.inputs[::-1]):
        producer = graph.get(other)
        while isinstance(producer, Movement) and not isinstance(producer, Concat):
            producer = graph.get(producer.inputs[0])
        if isinstance(producer, PoolMask):
            return name
    return ""


_LEAST = 0.98  # of a threshold: a sum makes none smaller than that


def _suit_sums(graph: Graph, values: dict[str, float], offsets: Container[str]) -> None:
    """Thresholds of operands with which the multipliers of sums are exact.

    Rounded multipliers are gains that are wrong by up to 1 / 254 of the largest one, for all
    elements alike: errors that do not average out as those of rounding do.
    """
    tied = _tied(graph, values)
    kept: set[str] = set().union(*(tied[op.name] for op in graph.ops if _is_given(op, tied)))
    for op in reversed(graph.ops):
        if not isinstance(op, Add | Sub) or op.name not in values:
            continue
        kept |= tied[op.name]
        for name, threshold in _exact(op, values, offsets).items():
            if name not in kept:
                kept |= tied[name]
                values.update(dict.fromkeys(tied[name], threshold))


def _exact(op: Add | Sub, values: dict[str, float], offsets: Container[str]) -> dict[str, float]:
    """By operand, the threshold with which its multiplier in a sum is a whole number."""
    if not all(name in values for name in op.inputs):
        return {}
    factors = (1.0, -1.0) if isinstance(op, Sub) else op.weights
    zeros = [LOWEST if name in offsets else 0 for name in (op.name, *op.inputs)]
    steps = [OFFSET_STEPS if zero else STEPS for zero in zeros]
    own = values[op.name] / steps[0]
    ratios = [
        factor * values[name] / step / own
        for factor, name, step in zip(factors, op.inputs, steps[1:], strict=True)
    ]
    if add_limit(ratios) > 1:
        return {}
    multipliers, shift, _ = add_rates(ratios, zeros[1:], zeros[0])
    found = {}
    for name, factor, multiplier, ratio, step in zip(
        op.inputs, factors, multipliers, ratios, steps[1:], strict=True
    ):
        size = abs(multiplier)
        if size and size < _LEAST * abs(ratio) * 2**shift:
            size += 1
        if size:
            found[name] = math.ldexp(size, -shift) * own * step / abs(factor)
    return found


def _tied(graph: Graph, values: dict[str, float]) -> dict[str, set[str]]:
    """By name, the tensors that share a threshold, for an op between them does not rescale."""
    tied = {name: {name} for name in values}
    for op in graph.ops:
        masked = _masked(op, graph)
        sources = op.inputs if _keeps(op) or isinstance(op, Concat) else (masked,)
        for name in sources:
            if name in values and op.name in values and values[name] == values[op.name]:
                joined = tied[op.name] | tied[name]
                tied.update(dict.fromkeys(joined, joined))
    return tied


def _is_given(op: Op, known: Container[str]) -> bool:
    """Whether an op has a threshold that cannot be chosen."""
    return op.name in known and (isinstance(op, Input) or _fixed(op) is not None)
