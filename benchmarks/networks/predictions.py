"""SqueezeNet v1.1 (Caffe) on labelled images: our float graph's classes and OpenCV's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from benchmarks.networks.catalogue import network
from benchmarks.zoo import SHARED

from cvi import plugins
from cvi.execute import run_float
from cvi.flow import stages
from cvi.flow.job import Job, Request
from cvi.flow.loading import frontend_of
from cvi.ir import Array
from cvi.preprocess.dataset import samples

NAME = "squeezenet_v1.1"
IMAGES = SHARED / "images" / "imagenet_val500"
_BATCH = 50


@dataclass(frozen=True)
class Predictions:
    """images: how many. agreed: of them with the same class from both. ours, theirs: how
    often the class is the label's. apart: greatest difference of two probabilities."""

    images: int
    agreed: int
    ours: int
    theirs: int
    apart: float


def predictions() -> Predictions:
    """All images of the folder through both, in batches."""
    labels = _labels()
    job = _job()
    pairs = [_both(job, files) for files in _batches(sorted(labels))]
    ours, theirs = (np.concatenate(side) for side in zip(*pairs, strict=True))
    wanted = np.array([labels[path] for path in sorted(labels)])
    classes = [side.reshape(len(wanted), -1).argmax(axis=1) for side in (ours, theirs)]
    return Predictions(
        images=len(wanted),
        agreed=int((classes[0] == classes[1]).sum()),
        ours=int((classes[0] == wanted).sum()),
        theirs=int((classes[1] == wanted).sum()),
        apart=float(np.abs(ours - theirs).max()),
    )


def _labels() -> dict[Path, int]:
    lines = (IMAGES / "labels.txt").read_text().splitlines()
    pairs = (line.rsplit(maxsplit=1) for line in lines if line.strip())
    return {IMAGES / name: int(label) for name, label in pairs}


def _batches(files: Sequence[Path]) -> Iterator[Sequence[Path]]:
    for start in range(0, len(files), _BATCH):
        yield files[start : start + _BATCH]


def _job() -> Job:
    model = network(NAME).model
    request = Request(
        model=model.file,
        weights=model.weights,
        input_shapes={"data": (_BATCH, 3, 227, 227)},
        image_options=model.pixels,
    )
    job = Job(request)
    stages.run(job, ("load", "simplify"))
    return job


def _both(job: Job, files: Sequence[Path]) -> tuple[Array, Array]:
    """Our probabilities and OpenCV's."""
    graph, request = job.graph, job.request
    fed = next(samples(graph, [(path,) for path in files]))
    (name,) = graph.outputs
    ours = run_float(graph, fed, [name], plugins.executors())[name]
    given = {op.source or op.name: fed[op.name] for op in graph.inputs}
    source = graph[name].source
    theirs = frontend_of(request).reference(
        request.model, given, weights=request.weights, tensors=[source]
    )[source]
    return ours, theirs
