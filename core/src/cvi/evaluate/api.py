"""`evaluate_classifier`: the accuracy of a network in any of its forms."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from cvi.errors import InputError
from cvi.evaluate.accuracy import Accuracy, Prediction, hits
from cvi.evaluate.labels import Labelled, read_labelled
from cvi.evaluate.run import evaluate, executor_for
from cvi.evaluate.subjects import FrameworkSubject, GraphSubject, ProgramSubject, Subject
from cvi.files import scratch_folder
from cvi.flow import stages
from cvi.flow.checks import check_request
from cvi.flow.images import ImageOptions
from cvi.flow.job import Job, Request
from cvi.flow.progress import Progress, Silent
from cvi.ir import Graph, storage
from cvi.preprocess.dataset import select

PathLike = str | os.PathLike[str]

_PROGRAM = ".cvimodel"


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """What `evaluate_classifier` evaluates.

    framework: a model file is run by its framework. quant: the network is quantised for
    `chip`, with the calibration and the mix table, and run on the numpy reference. graph:
    the IR file a cvimodel was made from, which knows the preprocessing. output: the tensor
    with the scores, "" for the only output. exact: BF16 sums in the hardware's order.
    """

    model: Path
    framework: bool = False
    weights: Path | None = None
    model_type: str = ""
    batch: int | None = None
    input_shapes: Mapping[str, tuple[int, ...]] | None = None
    outputs: tuple[str, ...] = ()
    image_options: ImageOptions = field(default_factory=ImageOptions)
    quant: str = ""
    chip: str = ""
    calibration_table: Path | None = None
    mix_precision_table: Path | None = None
    graph: Path | None = None
    runner: str = "simulator"
    output: str = ""
    exact: bool = False


def evaluate_classifier(
    what: Evaluated,
    *,
    dataset: PathLike,
    labels: PathLike | None = None,
    classes: PathLike | None = None,
    label_offset: int = 0,
    input_num: int = 0,
    jobs: int = 1,
    scheduler: str = "",
    work_dir: PathLike | None = None,
    progress: Progress | None = None,
) -> Accuracy:
    """The accuracy over a labelled data set.

    dataset, labels, classes, label_offset: see `read_labelled`. input_num: how many images
    are drawn (the same ones every time), 0 for all. jobs: processes on this machine;
    scheduler: address of a Dask scheduler whose workers see the same files. work_dir: where
    the graph that is run is kept, for other machines a shared folder.
    """
    told = progress or Silent()
    told.stage("labels", "read the labels")
    data = read_labelled(
        Path(dataset),
        None if labels is None else Path(labels),
        None if classes is None else Path(classes),
        offset=label_offset,
    )
    data = _drawn(data, input_num)
    kept = nullcontext(Path(work_dir)) if work_dir else scratch_folder()
    with kept as folder:
        subject = subject_of(what, folder, told)
        told.stage("evaluate", f"run {len(data)} images")
        with executor_for(jobs, scheduler) as executor:
            return evaluate(subject, data, executor=executor, report=_Teller(told))


class _Teller:
    """Shows the accuracy while it is found: a line for every tenth of the images."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tenths = 0

    def __call__(self, predictions: Sequence[Prediction], total: int) -> None:
        count = len(predictions)
        self._progress.step(count, total)
        if count * 10 // total > self._tenths:
            self._tenths = count * 10 // total
            right = hits(predictions, 1) / count
            self._progress.note(f"{count} of {total} images, top-1 {right:.2%}")


def _drawn(data: list[Labelled], count: int) -> list[Labelled]:
    numbered = [(Path(str(i)),) for i in range(len(data))]
    return [data[int(str(index))] for (index,) in select(numbered, count)]


def subject_of(what: Evaluated, folder: Path, progress: Progress | None = None) -> Subject:
    """The subject for `what`; graphs that are made for it are saved in `folder`."""
    if what.model.suffix == _PROGRAM:
        return _program(what)
    request = _request(what)
    job = Job(request, progress or Silent())
    wanted = ("load",) if storage.is_graph_file(what.model) else ("load", "simplify")
    stages.run(job, (*wanted, "calibrate", "quantise") if what.quant else wanted)
    output = what.output or _only_output(job.graph)
    path = _saved(job.graph, folder, "float")
    if what.framework:
        return FrameworkSubject(
            graph=path,
            model=what.model.resolve(),
            source=job.graph[output].source or output,
            weights=what.weights,
            model_type=what.model_type,
        )
    if what.quant:
        named = dict(zip(job.graph.outputs, job.quantised.outputs, strict=True))
        path, output = _saved(job.quantised, folder, what.quant), named.get(output, output)
    return GraphSubject(graph=path, output=output, exact=what.exact)


def _request(what: Evaluated) -> Request:
    if what.framework and storage.is_graph_file(what.model):
        raise InputError(
            "an IR file has no framework", where="--framework", fix="give the model file"
        )
    request = Request(
        model=what.model,
        weights=what.weights,
        model_type=what.model_type,
        batch=what.batch,
        input_shapes=dict(what.input_shapes or {}),
        outputs=what.outputs,
        image_options=what.image_options,
        calibration_table=what.calibration_table,
        chip=what.chip,
        quant=what.quant or "int8",
        mix_table=what.mix_precision_table,
        verify=False,
    )
    check_request(request, suffix="", compiles=bool(what.quant), calibrates=False)
    return request


def _program(what: Evaluated) -> ProgramSubject:
    if what.graph is None:
        raise InputError(
            "a cvimodel does not say how an image is preprocessed",
            where=str(what.model),
            fix="give the fp32 IR file that it was made from with --graph",
        )
    return ProgramSubject(
        graph=what.graph.resolve(),
        program=what.model.resolve(),
        output=what.output,
        runner=what.runner,
    )


def _only_output(graph: Graph) -> str:
    if len(graph.outputs) == 1:
        return graph.outputs[0]
    raise InputError(
        f"the network has {len(graph.outputs)} outputs: {', '.join(graph.outputs)}",
        where="--output",
        fix="say which one holds the scores",
    )


def _saved(graph: Graph, folder: Path, kind: str) -> Path:
    path = folder.resolve() / f"{graph.name or 'network'}_{kind}.cvi.json"
    storage.save(graph, path)
    return path
