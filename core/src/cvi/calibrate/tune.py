"""The best threshold for each layer, by what it does to the outputs.

No rule is best for every tensor: where a few large values matter clipping is what harms,
elsewhere coarse steps. So several are tried: the tensor alone is rounded and clipped to each,
the rest of the network stays in fp32, and the one with the least error of the outputs is taken.

The rest of a large network can only be run with a few images. What rounding does is alike in all
of them, but large values are rare: the few have too many or too few. How much is clipped in all
images is known from the histograms, so what clipping does to the few is scaled by that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from cvi.calibrate.histogram import LayerHistogram
from cvi.calibrate.methods import STEPS
from cvi.calibrate.table import CalibrationTable, Threshold
from cvi.ir import Array, Graph, Op
from cvi.ops import Concat, Movement
from cvi.walk import Walk

if TYPE_CHECKING:
    from cvi.hookspecs import Executor

_ALL_STEPS = 255
_COARSE = 2
_ENOUGH = 3  # images
_SHARE = 4  # of an equal share of the harm, that of a tensor that is not tried further
_SMALLEST = 24  # a 64th of the largest value
_FAR = 3.0  # times the least harm: closer to that no threshold is better, by far
_DOUBT = 0.01  # weight of a guess, relative to what the few images show


@dataclass(frozen=True)
class Trials:
    """samples: how many are kept for trials. each: with how many of these, those that hold its
    largest values, the thresholds of a tensor are tried."""

    samples: int
    each: int


SIXTEEN = Trials(16, 16)


def tuned(
    graph: Graph,
    table: CalibrationTable,
    images: Sequence[Mapping[str, Array]],
    *,
    each: int | None = None,
    seen: Mapping[str, LayerHistogram] | None = None,
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
    each: with how many of the images thresholds of a tensor are tried, by default with all;
    they are those that hold its largest values. seen: histograms of all samples of the table,
    where the images are only some of these. progress: called with the number of layers done.
    """
    entries, seen = dict(table.entries), seen or {}
    walk = Walk(graph, images, executors)
    each = len(images) if each is None else min(each, len(images))
    fine, total = each >= _ENOUGH, 0.0
    samples = table.samples or len(images)
    for count, op in enumerate(walk, 1):
        moved = isinstance(op, Movement) and not isinstance(op, Concat)
        if moved and op.inputs[0] in entries and op.name in entries:
            known = entries[op.inputs[0]].threshold  # the values are those of the operand
            entries[op.name] = replace(entries[op.name], threshold=known)
        elif op.name in entries:
            negligible = total / (_SHARE * len(entries))
            tensor = _Tensor(op, walk, each, entries[op.name], seen.get(op.name), samples)
            entries[op.name], harm = _best(tensor, negligible, fine=fine)
            total += harm
        if progress is not None:
            progress(count)
    return replace(table, entries=entries)


def _best(tensor: _Tensor, negligible: float, *, fine: bool) -> tuple[Threshold, float]:
    """The best of the thresholds, and its harm."""
    harm = cache(tensor.harm)
    if harm(0) <= negligible:
        return tensor.threshold(0), harm(0)
    best = 0
    while best < _SMALLEST and harm(best + _COARSE) < harm(best):
        best += _COARSE
    tried = [best]
    if fine and best and tensor.rounding(best - 1) < harm(best):
        tried.append(best - 1)  # else its rounding alone costs more
    if fine and harm(best + _COARSE) < _FAR * harm(best):
        tried.append(best + 1)  # else too much is clipped there already
    best = min(tried, key=harm)
    return tensor.threshold(best), harm(best)


class _Tensor:
    """A tensor that is rounded with the thresholds largest / 2^(k/4).

    each: in how many of the walk's images: those in which most is beyond 0.7 of the largest
    value. seen: its histogram for so many samples, None when the walk's images are all.
    """

    def __init__(
        self,
        op: Op,
        walk: Walk,
        each: int,
        largest: Threshold,
        seen: LayerHistogram | None,
        samples: int,
    ) -> None:
        self._op, self._walk, self._largest = op, walk, largest
        self._seen, self._samples = seen, samples
        self._images = list(range(len(walk.live)))
        if each < len(self._images):
            clipped = [_clipped(v[op.name], largest.threshold * 2**-0.5) for v in walk.live]
            self._images = sorted(sorted(self._images, key=lambda i: -clipped[i])[:each])
        self._unclipped = self._tried(largest)

    def threshold(self, k: int) -> Threshold:
        value = self._largest.threshold * 2 ** (-k / 4)
        return replace(self._largest, threshold=value).rounded()

    def rounding(self, k: int) -> float:
        """What rounding does to the outputs: it goes with the square of the steps."""
        return self._unclipped * 2 ** (-k / 2)

    def harm(self, k: int) -> float:
        """What a threshold does to the outputs, were all samples tried."""
        entry = self.threshold(k)
        found = self._tried(entry) if k else self._unclipped
        if self._seen is None:
            return found
        rounding = min(found, self.rounding(k))
        return rounding + self._of_all(found - rounding, rounding, entry)

    def _tried(self, entry: Threshold) -> float:
        results = [rounded(values, entry) for values in self._values()]
        return self._walk.harm(self._op, results, self._images)

    def _of_all(self, clipping: float, rounding: float, entry: Threshold) -> float:
        """What clipping does to all samples, from what it does to the few: as much for each
        squared distance. Where the few clip less than the others, or nothing, a hundredth of
        what they miss counts as if rounding did it."""
        assert self._seen is not None
        clipped = sum(_clipped(values, entry.threshold) for values in self._values())
        few = clipped / len(self._images)
        everywhere = self._seen.clipped(entry.threshold) / self._samples
        missed = _DOUBT * max(everywhere - few, 0.0)
        if missed:
            clipping += missed * self._per_square(rounding, entry)
        return everywhere * clipping / (few + missed) if few + missed else clipping

    def _per_square(self, rounding: float, entry: Threshold) -> float:
        """What rounding does to the few for each squared distance, of a twelfth of a step."""
        changed = sum(int(np.count_nonzero(values)) for values in self._values())
        squares = changed / len(self._images) * (entry.threshold / _steps(entry)[1]) ** 2 / 12
        return rounding / squares if squares else 0.0

    def _values(self) -> list[Array]:
        return [self._walk.live[i][self._op.name] for i in self._images]


def _clipped(values: Array, threshold: float) -> float:
    """The sum of squared distances by which |x| exceeds a threshold."""
    beyond = np.abs(values)
    beyond -= np.float32(threshold)
    np.maximum(beyond, 0, out=beyond)
    return float(np.vdot(beyond, beyond))


def _steps(entry: Threshold) -> tuple[int, int]:
    """The least integer, and that of the threshold."""
    return (0, _ALL_STEPS) if entry.min >= 0 else (-STEPS - 1, STEPS)


def rounded(values: Array, entry: Threshold) -> Array:
    """Values as they are after rounding to integers of a byte and back."""
    least, steps = _steps(entry)
    step = np.float32(entry.threshold / steps)
    stored = np.clip(np.rint(values / step), least, steps)
    real: Array = (stored * step).astype(np.float32)
    return real
