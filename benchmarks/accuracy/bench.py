"""A classifier with its images, and what is made of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from functools import cached_property
from time import process_time

import numpy as np
from benchmarks.accuracy.catalogue import Classifier
from benchmarks.accuracy.scores import Score, score
from benchmarks.zoo import SHARED

import cvi
from cvi import plugins
from cvi.calibrate.calibrate import calibrate, float_layers
from cvi.calibrate.equalise import equalised
from cvi.calibrate.table import CalibrationTable
from cvi.evaluate.labels import read_labelled
from cvi.execute import evaluate, float_session
from cvi.flow import stages
from cvi.flow.images import with_preprocess
from cvi.flow.job import AUTO, LEARNED, NEAREST
from cvi.flow.progress import Silent
from cvi.flow.real import quantised_inputs, real_values
from cvi.hookspecs import LearnsRounding
from cvi.ir import Array, Graph
from cvi.ops import Reshape, Softmax
from cvi.precision import Precision, PrecisionPlan
from cvi.preprocess.dataset import find_images, samples, select, shuffled
from cvi.search.order import ordered
from cvi.search.sensitivity import losses

IMAGES = SHARED / "images" / "imagenet_val500"
TRAINING = SHARED / "images" / "imagenet_train100"
CHIP = "cv183x"
CLASSES = 1000
"""Classes of the labels; networks with one more have the background before them."""

SEARCHED = 30
"""Images with which layers are ranked, as many as `cvi search` takes."""

FRAMEWORK = "framework"
"""The form that the model's own framework computes."""


class Bench:
    """A classifier with its images, thresholds and FP32 scores.

    graph: up to the scores, before the softmax. labels: None where the network knows other
    classes. images, training: inputs by name.
    """

    def __init__(self, entry: Classifier, count: int) -> None:
        self.entry = entry
        graph = cvi.load(entry.model, weights=entry.weight_file, batch=1)
        self.graph = before_softmax(with_preprocess(graph, entry.pixels, True))
        classes = self.graph[self.graph.outputs[0]].type.elements
        background = classes - CLASSES if entry.labelled else 0
        labelled = read_labelled(IMAGES, IMAGES / "labels.txt", offset=background)
        step = max(1, len(labelled) // count)
        chosen = labelled[::step][:count]
        self.labels = [one.label for one in chosen] if entry.labelled else None
        self.images = list(samples(self.graph, [(one.file,) for one in chosen]))
        session = float_session(self.graph, self.graph.outputs, plugins.executors())
        self.reference = [session.run(image)[self.graph.outputs[0]] for image in self.images]

    @cached_property
    def training(self) -> list[dict[str, Array]]:
        """The calibration images as inputs."""
        return list(samples(self.graph, select(find_images(TRAINING), 100)))

    def table(self, method: str = "auto") -> CalibrationTable:
        layers = float_session(self.graph, float_layers(self.graph), plugins.executors())
        return calibrate(
            self.graph,
            self.training,
            executor=layers,
            method=method,
            executors=plugins.executors(),
            trials=stages.trials(self.graph),
        )

    def order(self, table: CalibrationTable) -> list[str]:
        """All layers that compute in INT8, as `cvi search` orders them for BF16."""
        int8, images = self.quantised(table, "int8"), self.training[:SEARCHED]
        found = losses(self.graph, int8, images, executors=plugins.executors())
        return list(ordered(self.graph, {loss.layer: loss for loss in found}))

    def quantised(
        self,
        table: CalibrationTable | None,
        scheme: str,
        layers: Sequence[str] = (),
        rounding: str = AUTO,
    ) -> Graph:
        """As `cvi convert` makes it with the training images; layers: in BF16."""
        default = Precision.BF16 if scheme == "bf16" else Precision.INT8
        plan = PrecisionPlan(default, dict.fromkeys(layers, Precision.BF16))
        if rounding == NEAREST:
            return plugins.scheme(scheme).quantize(
                self.graph, table, plan, plugins.chip(CHIP), inputs_type="auto", outputs_type="fp32"
            )
        images = shuffled(self.training)
        return learned(self.graph, table, plan, scheme, images, thorough=rounding == LEARNED)

    def equalised(self, form: str) -> Score:
        """The INT8 form of the network with equalised channels and thresholds of its own."""
        other = copy(self)
        other.graph, _ = equalised(self.graph)
        return other.score(form, other.quantised(other.table(), "int8"))

    def score(self, form: str, quantised: Graph) -> Score:
        """The quantised graph on all images (BF16 sums in any order)."""
        start = process_time()
        found = [_scores(quantised, image) for image in self.images]
        return self.counted(form, found, process_time() - start)

    def counted(self, form: str, scores: Sequence[Array], cpu_s: float = 0.0) -> Score:
        """Scores that something gives for all images."""
        return score(form, scores, self.reference, self.labels, cpu_s)

    def framework(self, count: int) -> Score:
        """The framework's own inference of the file against our FP32, on so many images."""
        step = max(1, len(self.images) // count)
        chosen = slice(None, None, step)
        labels = None if self.labels is None else self.labels[chosen]
        theirs = self._in_framework(self.images[chosen])
        return score(FRAMEWORK, theirs, self.reference[chosen], labels)

    def _in_framework(self, images: Sequence[dict[str, Array]]) -> list[Array]:
        output = self.graph[self.graph.outputs[0]].source
        (fed,) = self.graph.inputs
        given = {fed.source or fed.name: np.concatenate([image[fed.name] for image in images])}
        values = plugins.frontend_for(self.entry.model).reference(
            self.entry.model, given, weights=self.entry.weight_file, tensors=[output]
        )
        return list(values[output])


def learned(
    graph: Graph,
    table: CalibrationTable | None,
    plan: PrecisionPlan,
    scheme: str,
    images: Iterable[Mapping[str, Array]],
    *,
    thorough: bool = False,
) -> Graph:
    """The graph as `cvi convert` quantises it, its weights rounded as images suggest; thorough:
    as all of them do."""
    found = plugins.scheme(scheme)
    assert isinstance(found, LearnsRounding)
    return found.quantize_learned(
        graph,
        table,
        plan,
        plugins.chip(CHIP),
        images,
        thorough=thorough,
        inputs_type="auto",
        outputs_type="fp32",
        progress=Silent(),
    )


def _scores(quantised: Graph, image: dict[str, Array]) -> Array:
    values = evaluate(quantised, quantised_inputs(quantised, image), exact=False)
    return real_values(quantised, values)[quantised.outputs[0]]


def before_softmax(graph: Graph) -> Graph:
    """The network up to its scores: a softmax at its end changes no order, and the
    divergence is computed from the scores."""
    name = graph.outputs[0]
    while isinstance(graph[name], (Softmax, Reshape)):
        name = graph[name].inputs[0]
    return graph.rebuilt(graph.ops[: graph.ops.index(graph[name]) + 1], outputs=(name,))
