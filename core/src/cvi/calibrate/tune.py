"""The best of several thresholds for each layer, by what it does to the outputs.

No method is best for every tensor: where a few large values matter clipping is what harms,
elsewhere coarse steps. So each candidate is tried: the tensor alone is rounded and clipped
to it, the rest of the network stays in fp32, and the one with the least error of the outputs
is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING

import numpy as np

from cvi.calibrate.methods import STEPS
from cvi.calibrate.table import CalibrationTable, Threshold
from cvi.ir import Array, Graph, Op
from cvi.ops import Concat, Movement
from cvi.walk import Walk

if TYPE_CHECKING:
    from cvi.hookspecs import Executor

_ALIKE = 0.02
_ALL_STEPS = 255


def tuned(
    graph: Graph,
    tables: Sequence[CalibrationTable],
    images: Sequence[Mapping[str, Array]],
    *,
    executors: Sequence[Executor] = (),
    progress: Callable[[int], None] | None = None,
) -> CalibrationTable:
    """The first table with, for every layer, the best threshold of all tables.

    Candidates are tried from the largest on, as long as they get better; those within 2 per cent
    of an earlier one are not. What an op only moves has the threshold of its operand;
    concatenations, whose operands take theirs, are tried. A tensor that is never negative is
    rounded to 255 steps from 0 on, others to 127 on either side.
    progress: called with the number of layers done.
    """
    entries = dict(tables[0].entries)
    walk = Walk(graph, images, executors)
    for count, op in enumerate(walk, 1):
        moved = isinstance(op, Movement) and not isinstance(op, Concat)
        if moved and op.inputs[0] in entries and op.name in entries:
            known = entries[op.inputs[0]].threshold  # the values are those of the operand
            entries[op.name] = replace(entries[op.name], threshold=known)
        elif op.name in entries:
            entries[op.name] = _best(op, walk, [table.entries[op.name] for table in tables])
        if progress is not None:
            progress(count)
    return replace(tables[0], entries=entries)


def _best(op: Op, walk: Walk, found: Sequence[Threshold]) -> Threshold:
    tried: list[Threshold] = []
    for entry in found:
        if all(abs(entry.threshold / t.threshold - 1) > _ALIKE for t in tried):
            tried.append(entry)
    tried.sort(key=lambda entry: -entry.threshold)
    best, least = tried[0], inf
    for entry in tried if len(tried) > 1 else ():
        harm = walk.harm(op, _all_rounded(op, walk, entry))
        if harm >= least:
            break
        best, least = entry, harm
    return best


def _all_rounded(op: Op, walk: Walk, entry: Threshold) -> list[Array]:
    return [rounded(values[op.name], entry) for values in walk.live]


def rounded(values: Array, entry: Threshold) -> Array:
    """Values as they are after rounding to integers of a byte and back."""
    least, steps = (0, _ALL_STEPS) if entry.min >= 0 else (-STEPS - 1, STEPS)
    step = np.float32(entry.threshold / steps)
    stored = np.clip(np.rint(values / step), least, steps)
    real: Array = (stored * step).astype(np.float32)
    return real
