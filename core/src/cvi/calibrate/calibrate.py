"""One pass over the samples, one threshold per float layer."""

from __future__ import annotations

import random
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from cvi.calibrate.histogram import Histograms, LayerHistogram
from cvi.calibrate.methods import AUTO, Method, absolute_maximum, method_of
from cvi.calibrate.table import CalibrationTable, Threshold, format_mean
from cvi.calibrate.tune import SIXTEEN, Trials, tuned
from cvi.errors import CviError, InputError
from cvi.ir import Array, DType, Graph
from cvi.ops import Conv2d, ConvTranspose2d, FullyConnected, Movement, Softmax

if TYPE_CHECKING:
    from cvi.hookspecs import Executor, ExecutorSession

_ALL_ZERO = 1e-5
_ROOM = 1.2  # measured: 1.1 to 1.3 are alike, and better than 1.0 and 1.5


def calibrate(
    graph: Graph,
    samples: Iterable[Mapping[str, Array]],
    *,
    executor: ExecutorSession | None = None,
    bins: int = 2048,
    method: str = "kld",
    executors: Sequence[Executor] = (),
    trials: Trials = SIXTEEN,
    progress: Callable[[int], None] | None = None,
    tried: Callable[[int], None] | None = None,
) -> CalibrationTable:
    """Thresholds of every float layer, inputs included, in execution order; and the mean of
    every channel that a filter reads.

    samples: input arrays by input name, each taken once.
    method: one of METHODS, or "auto": for each layer the best by what it does to the outputs
    for a few of the samples (`cvi.calibrate.tune`; trials: how many), which executors run: half
    of these are such as hold the largest values of most tensors. Then the network's outputs (or
    what a softmax at its end reads) get a fifth more than the largest value.
    executor: session that gives all of `float_layers(graph)` except the inputs, which
    may be missing; without one the numpy reference runs the graph.
    progress: called with the number of samples done; tried: with that of layers for which
    "auto" has tried thresholds.
    The result is as it is after writing and reading its file. A layer that was always
    zero gets 1e-5 and a warning (FACTS_TOOLCHAIN 5.1).
    """
    choose = absolute_maximum if method == AUTO else method_of(method)
    names = float_layers(graph)
    few = _Telling(trials.samples if method == AUTO else 0)
    histograms, means = Histograms(bins), ChannelMeans(filtered_tensors(graph))
    count = 0
    for count, sample in enumerate(samples, 1):
        tensors = _tensors(graph, names, sample, executor)
        histograms.add(tensors)
        few.add(sample, histograms)
        means.add(tensors)
        if progress is not None:
            progress(count)
    if not count:
        raise InputError("there are no samples to calibrate with", fix="give a folder of images")
    entries = {name: _threshold(name, histograms.layers[name], choose) for name in names}
    table = CalibrationTable(entries, means=means.rounded(), bins=bins, samples=count)
    if method != AUTO:
        return table
    table = tuned(
        graph,
        table,
        few.samples,
        each=trials.each,
        seen=histograms.layers,
        executors=executors,
        progress=tried,
    )
    return _with_room(table, last_tensors(graph), histograms)


def float_layers(graph: Graph) -> list[str]:
    """Names of the layers with a float result and at least one element, in execution order."""
    return [op.name for op in graph if op.type.dtype is DType.FP32 and op.type.elements]


def filtered_tensors(graph: Graph) -> list[str]:
    """The computed tensors that layers with a filter read, in execution order."""
    filters = (Conv2d, ConvTranspose2d, FullyConnected)
    read = {op.inputs[0] for op in graph if isinstance(op, filters)}
    return [name for name in float_layers(graph) if name in read]


def last_tensors(graph: Graph) -> list[str]:
    """The network's outputs, or what a softmax at its end reads, and what these are moved from."""
    found: dict[str, None] = {}
    for output in graph.outputs:
        name = output
        while isinstance(op := graph.get(name), Movement | Softmax) and len(op.inputs) == 1:
            if isinstance(op, Movement):
                found[name] = None
            name = op.inputs[0]
        found[name] = None
    return list(found)


def _with_room(
    table: CalibrationTable, names: Sequence[str], histograms: Histograms
) -> CalibrationTable:
    """The table in which some tensors have room beyond the largest value that was seen.

    Larger scores than those of a few images are those of the surest ones, and clipped ones are
    equal: nothing behind makes up for that.
    """
    entries = dict(table.entries)
    for name in names:
        entry, layer = entries.get(name), histograms.layers.get(name)
        if entry is not None and layer is not None and layer.absmax:
            entries[name] = replace(entry, threshold=_ROOM * layer.absmax).rounded()
    return replace(table, entries=entries)


class _Telling:
    """Keeps a few of all samples: half of them those that hold the largest values of most
    tensors, which only a trial with them shows clipped, the others drawn at random."""

    def __init__(self, count: int) -> None:
        self._count, self._seen = count, 0
        self._random = random.Random(0)
        self._largest: dict[str, float] = {}
        self._holders: dict[str, int] = {}
        self._drawn: list[int] = []
        self._kept: dict[int, Mapping[str, Array]] = {}

    def add(self, sample: Mapping[str, Array], seen: Histograms) -> None:
        """Take the next sample; seen: what was seen of all tensors so far, with this one."""
        if not self._count:
            return
        number, self._seen = self._seen, self._seen + 1
        for name, layer in seen.layers.items():
            if layer.absmax > self._largest.get(name, -1.0):
                self._largest[name], self._holders[name] = layer.absmax, number
        place = self._random.randrange(self._seen)  # every sample is drawn with equal chances
        if len(self._drawn) < self._count:
            self._drawn.append(number)
        elif place < self._count:
            self._drawn[place] = number
        self._kept[number] = sample
        wanted = {*self._holders.values(), *self._drawn}
        self._kept = {number: kept for number, kept in self._kept.items() if number in wanted}

    @property
    def samples(self) -> list[Mapping[str, Array]]:
        """The samples that are kept, in the order in which they came."""
        held = Counter(self._holders.values())
        extreme = sorted(held, key=lambda number: (-held[number], number))
        half = extreme[: (self._count + 1) // 2]
        others = [number for number in self._drawn if number not in half]
        chosen = dict.fromkeys([*half, *others, *extreme])
        return [self._kept[number] for number in sorted([*chosen][: self._count])]


class ChannelMeans:
    """The running mean of every channel of some tensors: axis 1 of images, which have four
    dimensions, the last axis of all others."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = tuple(names)
        self._sums: dict[str, Array] = {}
        self._count = 0

    def add(self, tensors: Mapping[str, Array]) -> None:
        """Take the values of one sample."""
        self._count += 1
        for name in self._names:
            rows = tensors[name]
            axes = (0, 2, 3) if rows.ndim == 4 else tuple(range(rows.ndim - 1))
            means = rows.mean(axis=axes, dtype=np.float64)
            self._sums[name] = self._sums.get(name, 0.0) + means

    def rounded(self) -> dict[str, tuple[float, ...]]:
        """The means as they are after writing and reading a table."""
        return {
            name: tuple(float(format_mean(value)) for value in (total / self._count).tolist())
            for name, total in self._sums.items()
        }


def _tensors(
    graph: Graph,
    names: list[str],
    sample: Mapping[str, Array],
    executor: ExecutorSession | None,
) -> dict[str, Array]:
    """The values of the named layers for one sample."""
    if executor is not None:
        values = executor.run(sample)
    else:
        from cvi.execute import evaluate

        values = evaluate(graph, sample, outputs=names)
    found = {**sample, **values}
    missing = [name for name in names if name not in found]
    if missing:
        raise CviError("the executor gives no values of this layer", where=missing[0])
    return {name: found[name] for name in names}


def _threshold(name: str, layer: LayerHistogram, choose: Method) -> Threshold:
    if layer.absmax == 0:
        warnings.warn(
            f"layer {name!r} is zero for all samples; its threshold is set to {_ALL_ZERO:g}",
            stacklevel=3,
        )
        return Threshold(_ALL_ZERO, -_ALL_ZERO, _ALL_ZERO)
    return Threshold(choose(layer), layer.min, layer.max).rounded()
