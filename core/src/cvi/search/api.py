"""`search_precision`: the mix table of a network under a budget."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cvi import plugins
from cvi.calibrate.table import CalibrationTable
from cvi.errors import InputError, UnsupportedError
from cvi.evaluate.accuracy import predict
from cvi.evaluate.labels import Labelled, read_labelled
from cvi.execute import evaluate, float_session
from cvi.flow.checks import check_request
from cvi.flow.job import Request
from cvi.flow.progress import Progress, Silent
from cvi.flow.real import quantised_inputs, real_values
from cvi.hookspecs import Chip, Estimates
from cvi.ir import Array, Graph
from cvi.macs import macs
from cvi.precision import Precision, PrecisionPlan
from cvi.preprocess.dataset import find_images, samples, select
from cvi.search.journal import Journal, digest_of
from cvi.search.order import ordered
from cvi.search.select import Selection, Target, best_of, until, within_slowdown
from cvi.search.sensitivity import Loss, candidates, losses
from cvi.threads import each

PathLike = str | os.PathLike[str]

_FEW = 8  # images for comparing a selection with fewer layers, where no target is given


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What limits BF16. max_layers: how many layers at most (fewer where these are better on
    some of the images). target: as few layers as reach
    it. max_slowdown: the estimated cycles at most, as a multiple of INT8's. Given together,
    all hold, and a target that they leave out of reach is approached as far as they allow."""

    max_layers: int | None = None
    target: Target | None = None
    max_slowdown: float | None = None


@dataclass(frozen=True)
class Row:
    """A layer of the result: its loss when it alone is in INT8, what BF16 takes away of all
    loss when the layers before it are in BF16 (gain), whether it is chosen, and its
    multiply-accumulates."""

    layer: str
    kind: str
    loss: float
    gain: float
    chosen: bool
    macs: int


@dataclass(frozen=True)
class Search:
    """The result of `search_precision`. rows: in the order in which layers go to BF16."""

    plan: PrecisionPlan
    rows: tuple[Row, ...]
    selection: Selection

    @property
    def reached(self) -> float:
        """The measure with the chosen layers: the target's, else the mean cosine to FP32."""
        return self.selection.reached


def search_precision(
    graph: PathLike,
    output: PathLike,
    *,
    chip: str,
    calibration_table: PathLike,
    dataset: PathLike,
    labels: PathLike | None = None,
    classes: PathLike | None = None,
    label_offset: int = 0,
    input_num: int = 30,
    budget: Budget | None = None,
    loss_table: PathLike | None = None,
    progress: Progress | None = None,
) -> Search:
    """Find the layers of an fp32 IR file that need BF16, and write the mix table.

    dataset, input_num: images, of which so many are drawn; with labels (see
    `read_labelled`) a target of lost images can be asked for. budget: default 10 layers.
    loss_table: the file of measured losses; a search that was stopped goes on from it.
    """
    from cvi.evaluate.subjects import loaded

    budget = budget or Budget(max_layers=10)
    _check(Path(graph), Path(output), chip, Path(calibration_table), budget, labels)
    told = progress or Silent()
    data = _data(dataset, labels, classes, label_offset, input_num)
    network = _Network(
        loaded(Path(graph)), CalibrationTable.read(Path(calibration_table)), plugins.chip(chip)
    )
    images = list(samples(network.graph, [(one.file,) for one in data]))
    found = _measured(network, images, None if loss_table is None else Path(loss_table), told)
    told.stage("select", "choose layers for BF16")
    order = ordered(network.graph, found)
    selection = _selected(network, order, budget, images, data if labels else (), told)
    plan = PrecisionPlan(Precision.INT8, dict.fromkeys(selection.layers, Precision.BF16))
    plan.write(output)
    return Search(plan, tuple(_rows(network.graph, found, order, selection)), selection)


@dataclass(frozen=True)
class _Network:
    """A float graph with its thresholds, quantised as plans ask."""

    graph: Graph
    table: CalibrationTable
    chip: Chip

    def mixed(self, layers: Sequence[str]) -> Graph:
        """The quantised graph with these layers in BF16."""
        plan = PrecisionPlan(Precision.INT8, dict.fromkeys(layers, Precision.BF16))
        return plugins.scheme("mixed").quantize(
            self.graph, self.table, plan, self.chip, inputs_type="auto", outputs_type="fp32"
        )

    def outputs(self, layers: Sequence[str], images: Sequence[Mapping[str, Array]]) -> list[Array]:
        """The real outputs of the mixed network, joined in one row per run."""
        quantised = self.mixed(layers)

        def row(image: Mapping[str, Array]) -> Array:
            values = evaluate(quantised, quantised_inputs(quantised, image), exact=False)
            return _joined(real_values(quantised, values), quantised.outputs)

        return each(row, images)

    def cycles(self, layers: Sequence[str]) -> float:
        """The estimated cycles of the program."""
        if not isinstance(self.chip, Estimates):
            raise UnsupportedError(
                f"{self.chip.name} has no cost model",
                where="--max-slowdown",
                fix="use --max-bf16-layers or --target",
            )
        return self.chip.estimate(self.mixed(layers))


def _joined(values: Mapping[str, Array], names: Sequence[str]) -> Array:
    return np.concatenate([values[name].reshape(-1).astype(np.float64) for name in names])


def _measured(
    network: _Network, images: Sequence[Mapping[str, Array]], path: Path | None, told: Progress
) -> dict[str, Loss]:
    """The losses of every layer, from the journal or measured now."""
    told.stage("rank", "measure each layer")
    quantised = network.mixed(())
    total = len(candidates(network.graph, quantised))
    journal = Journal(path, digest_of(network.graph, quantised, images))
    if journal.losses:
        told.note(f"{len(journal.losses)} layers were measured before")
    found = losses(
        network.graph, quantised, images, known=journal.losses, executors=plugins.executors()
    )
    for loss in found:
        journal.add(loss)
        told.step(len(journal.losses), total)
    return dict(journal.losses)


def _selected(
    network: _Network,
    gains: Mapping[str, float],
    budget: Budget,
    images: Sequence[Mapping[str, Array]],
    data: Sequence[Labelled],
    told: Progress,
) -> Selection:
    order = list(gains)
    if budget.max_layers is not None:
        order = order[: budget.max_layers]
    if budget.max_slowdown is not None:
        order = order[: within_slowdown(order, network.cycles, budget.max_slowdown)]
    target = budget.target or Target("cos", 1.0)
    measure = _measure(network, target, images if budget.target else images[:_FEW], data)

    def tell(layers: Sequence[str]) -> float:
        value = measure(layers)
        told.note(f"{len(layers)} layers in BF16: {target.measure} {abs(value):.5g}")
        return value

    return until(order, gains, tell, target.least) if budget.target else best_of(order, tell)


def _measure(
    network: _Network,
    target: Target,
    images: Sequence[Mapping[str, Array]],
    data: Sequence[Labelled],
) -> Callable[[Sequence[str]], float]:
    session = float_session(network.graph, network.graph.outputs, plugins.executors())
    reference = [_joined(session.run(image), network.graph.outputs) for image in images]
    if target.measure == "cos":
        return lambda layers: float(
            np.mean(list(map(_cosine, network.outputs(layers, images), reference)))
        )
    right = _hits(reference, data)
    return lambda layers: min(
        0.0, (_hits(network.outputs(layers, images), data) - right) * 100 / len(data)
    )


def _cosine(a: Array, b: Array) -> float:
    length = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / length if length else float(not a.any() and not b.any())


def _hits(rows: Sequence[Array], data: Sequence[Labelled]) -> int:
    """How many images of the batches are classified right."""
    batch = -(-len(data) // len(rows))
    scores = [row for rows_ in rows for row in rows_.reshape(batch, -1)]
    return sum(predict(one, row).rank == 0 for one, row in zip(data, scores, strict=False))


def _rows(
    graph: Graph, found: Mapping[str, Loss], gains: Mapping[str, float], selection: Selection
) -> Iterator[Row]:
    chosen = set(selection.layers)
    for name, gain in gains.items():
        loss = found[name].loss
        assert loss is not None
        yield Row(name, graph[name].kind, loss, gain, name in chosen, macs(graph, graph[name]))


def _data(
    dataset: PathLike,
    labels: PathLike | None,
    classes: PathLike | None,
    offset: int,
    count: int,
) -> list[Labelled]:
    """The images that are drawn; without labels the class of each is 0."""
    if labels is None:
        files = select(find_images(Path(dataset)), count)
        return [Labelled(one[0], 0) for one in files]
    known = read_labelled(
        Path(dataset), Path(labels), None if classes is None else Path(classes), offset=offset
    )
    places = select([(Path(str(i)),) for i in range(len(known))], count)
    return [known[int(str(place))] for (place,) in places]


def _check(
    graph: Path, output: Path, chip: str, table: Path, budget: Budget, labels: PathLike | None
) -> None:
    from cvi.ir import storage

    request = Request(
        model=graph, output=output, chip=chip, quant="mixed", calibration_table=table, verify=False
    )
    check_request(request, suffix="", compiles=True, calibrates=False)
    if not storage.is_graph_file(graph):
        raise InputError(
            "is no fp32 IR file", where=str(graph), fix="make one with `cvi transform`"
        )
    if budget.target and budget.target.measure == "drop" and labels is None:
        raise InputError(
            "lost images cannot be counted without labels",
            where="--target drop",
            fix="give --labels FILE, or use --target cos=0.99",
        )
    if budget.max_slowdown is not None and not budget.max_slowdown >= 1:
        raise InputError(
            f"a slowdown of {budget.max_slowdown:g} is not possible",
            where="--max-slowdown",
            fix="1.2 means 20 per cent more cycles than INT8",
        )
