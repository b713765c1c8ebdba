"""The best threshold for each layer, by what it does to the outputs.

No rule is best for every tensor: where a few large values matter clipping is what harms,
elsewhere coarse steps. So several are tried: the tensor alone is rounded and clipped to each,
the rest of the network stays in fp32, and the one with the least error of the outputs is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from cvi.calibrate.methods import STEPS
from cvi.calibrate.table import CalibrationTable, Threshold
from cvi.ir import Array, Graph, Op
from cvi.ops import Concat, Movement
from cvi.walk import Walk

if TYPE_CHECKING:
    from cvi.hookspecs import Executor

_ALL_STEPS = 255
_COARSE = 2
_ENOUGH = 6  # images
_SHARE = 4  # of an equal share of the harm, that of a tensor that is not tried further
_SMALLEST = 24  # a 64th of the largest value
_FAR = 3.0  # times the least harm: closer to that no threshold is better, by far


def tuned(
    graph: Graph,
    table: CalibrationTable,
    images: Sequence[Mapping[str, Array]],
    *,
    executors: Sequence[Executor] = (),
    progress: Callable[[int], None] | None = None,
) -> CalibrationTable:
    """The table with the best threshold of every layer.

    table: with thresholds that clip nothing. Smaller ones are tried, each the one before by the
    square root of 2, as long as they get better; then, with enough images to tell them apart,
    those halfway to the best one's neighbours. A tensor whose rounding costs next to nothing of
    what all before it cost is not tried further. What an op only moves has the threshold of its
    operand; concatenations, whose operands take theirs, are tried. A tensor that is never
    negative is rounded to 255 steps from 0 on, others to 127 on either side.
    progress: called with the number of layers done.
    """
    entries = dict(table.entries)
    walk = Walk(graph, images, executors)
    fine, total = len(images) >= _ENOUGH, 0.0
    for count, op in enumerate(walk, 1):
        moved = isinstance(op, Movement) and not isinstance(op, Concat)
        if moved and op.inputs[0] in entries and op.name in entries:
            known = entries[op.inputs[0]].threshold  # the values are those of the operand
            entries[op.name] = replace(entries[op.name], threshold=known)
        elif op.name in entries:
            negligible = total / (_SHARE * len(entries))
            entries[op.name], harm = _best(op, walk, entries[op.name], negligible, fine=fine)
            total += harm
        if progress is not None:
            progress(count)
    return replace(table, entries=entries)


def _best(
    op: Op, walk: Walk, largest: Threshold, negligible: float, *, fine: bool
) -> tuple[Threshold, float]:
    """The best of the thresholds largest / 2^(k/4), and its harm."""

    def threshold(k: int) -> Threshold:
        return replace(largest, threshold=largest.threshold * 2 ** (-k / 4)).rounded()

    @cache
    def harm(k: int) -> float:
        return walk.harm(op, _all_rounded(op, walk, threshold(k)))

    if harm(0) <= negligible:
        return threshold(0), harm(0)
    best = 0
    while best < _SMALLEST and harm(best + _COARSE) < harm(best):
        best += _COARSE
    tried = [best]
    if fine and best and harm(0) * 2 ** (-(best - 1) / 2) < harm(best):
        tried.append(best - 1)  # else its rounding alone costs more, as the square of its steps
    if fine and harm(best + _COARSE) < _FAR * harm(best):
        tried.append(best + 1)  # else too much is clipped there already
    best = min(tried, key=harm)
    return threshold(best), harm(best)


def _all_rounded(op: Op, walk: Walk, entry: Threshold) -> list[Array]:
    return [rounded(values[op.name], entry) for values in walk.live]


def rounded(values: Array, entry: Threshold) -> Array:
    """Values as they are after rounding to integers of a byte and back."""
    least, steps = (0, _ALL_STEPS) if entry.min >= 0 else (-STEPS - 1, STEPS)
    step = np.float32(entry.threshold / steps)
    stored = np.clip(np.rint(values / step), least, steps)
    real: Array = (stored * step).astype(np.float32)
    return real
