"""Layer by layer along a framework's own tensors: how integer models are compared.

A framework that computes with integers rounds the result of every layer, and the rounding
adds up from layer to layer. So each layer is computed from the framework's operands, and
rounded and saturated as the framework does it. What is left shows the layer alone; where
the framework's own arithmetic rounds on the way, that is one step.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cvi.calibrate.table import Threshold
from cvi.execute import result_of
from cvi.ir import Array, Graph

_STEPS = 255
_ONE = 1.001
"""Steps by which rounding may differ, with the inexactness of fp32."""


def stepwise_values(
    graph: Graph, inputs: Mapping[str, Array], reference: Mapping[str, Array]
) -> dict[str, Array]:
    """Every layer's value, computed from the operands in `reference` where they stand there,
    on the grid of 8 bits between the minimum and maximum that the model brings for it."""
    found: dict[str, Array] = {}
    seen: dict[str, Array] = {}
    for op in graph.ops:
        value = result_of(op, graph, seen, inputs)
        own = graph.thresholds.get(op.name)
        found[op.name] = value if own is None else on_grid(value, own)
        seen[op.name] = reference.get(op.name, found[op.name])
    return found


def up_to_rounding(
    graph: Graph, values: Mapping[str, Array], reference: Mapping[str, Array]
) -> dict[str, Array]:
    """The values of the layers in `reference`, with the reference's own elements where they
    differ by one step of the layer's grid at most."""
    found = {}
    for name, expected in reference.items():
        own, value = graph.thresholds.get(name), values[name]
        if own is not None and value.shape == expected.shape:
            step = (own.max - own.min) / _STEPS
            value = np.where(np.abs(value - expected) <= _ONE * step, expected, value)
        found[name] = value
    return found


def on_grid(value: Array, own: Threshold) -> Array:
    """Rounded to the nearest of 256 equal steps from minimum to maximum, saturated."""
    step = (own.max - own.min) / _STEPS
    if not step:
        return value
    steps = np.rint((np.clip(value, own.min, own.max) - own.min) / step)
    return np.asarray(steps * step + own.min, np.float32)
