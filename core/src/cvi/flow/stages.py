"""The conversion: one tuple of stages, from a model file to a verified cvimodel.

The names stand in the progress bar, the log, the errors and the work folder. A stage
takes what earlier ones left in the `Job` and adds its own product.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cvi import plugins
from cvi.compare import compare_sets
from cvi.errors import CviError, UnsupportedError, VerificationError
from cvi.files import scratch_folder
from cvi.flow import images
from cvi.flow.artefacts import keep_comparison, keep_graph, keep_table
from cvi.flow.batches import batched_as
from cvi.flow.checks import keeps_own_thresholds, outputs_type
from cvi.flow.equality import difference, same
from cvi.flow.job import AUTO, LEARNED, NEAREST, Job
from cvi.flow.lists import float_reference, incomparable
from cvi.flow.loading import (
    frontend_of,
    load_cut,
    load_what_can_be_done,
    note_layouts,
    refuse_unsupported,
)
from cvi.flow.real import quantised_inputs, real_values
from cvi.hookspecs import (
    Advises,
    Chip,
    HasForeign,
    LearnsRounding,
    ReferenceTensors,
)
from cvi.ir import Array, Graph
from cvi.macs import macs
from cvi.precision import PrecisionPlan
from cvi.walk import images_at_once

if TYPE_CHECKING:
    from cvi.calibrate.tune import Trials


@dataclass(frozen=True)
class Stage:
    """One step of the conversion.

    wanted: whether a job needs it, given what it has so far.
    """

    name: str
    title: str
    apply: Callable[[Job], None]
    wanted: Callable[[Job], bool] = lambda job: True


_TUNING_SAMPLES = 100
_CHOICE = 4  # measured: the choice matters more than the number
_TUNING_WORK = 85_000_000_000
_NO_REFERENCE = "the framework cannot compute it"


def load(job: Job) -> None:
    """The float graph of the model file, with the preprocessing of its image inputs."""
    from cvi.ir import storage

    request = job.request
    if storage.is_graph_file(request.model):
        plugins.load_ops()
        graph = storage.load(request.model)
    elif request.outputs == (AUTO,):
        graph = load_what_can_be_done(job)
    else:
        graph = load_cut(job, request.outputs)
    note_layouts(job, graph)
    files = [*request.images, *(path for sample in request.data for path in sample)]
    job.graph = images.with_preprocess(graph, request.image_options, images.uses_images(files))


def simplify(job: Job) -> None:
    """Fold, fuse and clean; then refuse all that scheme and chip cannot do, at once."""
    from cvi.passes import simplify

    job.graph = simplify(job.graph)
    refuse_unsupported(job, job.graph)
    keep_graph(job, job.graph, "fp32.cvi.json")


def verify_float(job: Job) -> None:
    """Every layer that the framework can show, against the framework's own inference;
    layer by layer from the framework's own operands, and to one step of their grid, where
    it computes with integers.

    An op that the framework does not know is not compared; the framework goes on behind it
    with the value that the op has in the float graph.
    """
    from cvi.flow.stepwise import stepwise_values, up_to_rounding

    request, frontend = job.request, frontend_of(job.request)
    sources = {op.name: op.source for op in job.graph if op.source and op.name in job.values}
    given = {op.source or op.name: job.inputs[op.name] for op in job.graph.inputs}
    foreign = frontend.foreign(request.model) if isinstance(frontend, HasForeign) else ()
    given |= {source: job.values[n] for n, source in sources.items() if source in foreign}
    shown = frontend.reference(
        request.model, given, weights=request.weights, tensors=list(dict.fromkeys(sources.values()))
    )
    reference = {
        name: batched_as(shown[source], job.values[name].shape)
        for name, source in sources.items()
        if source in shown
    }
    told = shown.missing if isinstance(shown, ReferenceTensors) else {}
    unknown = {n: told.get(s, _NO_REFERENCE) for n, s in sources.items() if n not in reference}
    boxes = incomparable(job.graph, reference)
    reference = {name: array for name, array in reference.items() if name not in boxes}
    values: Mapping[str, Array] = job.values
    if job.graph.thresholds:
        computed = stepwise_values(job.graph, job.inputs, reference)
        values = up_to_rounding(job.graph, computed, reference)
    target = {name: values[name] for name in reference}
    _compare(job, "verify-float", target, reference, unknown | boxes)


def test_inputs(job: Job) -> None:
    """The test inputs and every float layer's value for them."""
    from cvi.calibrate.calibrate import float_layers
    from cvi.execute import run_float

    job.inputs = images.test_inputs(job.graph, job.request.images, job.request.data)
    names = float_layers(job.graph)
    job.values = run_float(job.graph, job.inputs, names, plugins.executors())


def equalise(job: Job) -> None:
    """The same network with equalised channels; its layers' values anew."""
    from cvi.calibrate.equalise import equalised
    from cvi.execute import run_float

    job.graph, count = equalised(job.graph)
    job.progress.note(f"the channels of {count} tensors were equalised")
    if job.values:
        job.values = run_float(job.graph, job.inputs, [*job.values], plugins.executors())
    keep_graph(job, job.graph, "fp32.cvi.json")


def calibrate(job: Job) -> None:
    """Thresholds: from a table, or from the images of the data set."""
    from cvi.calibrate.calibrate import calibrate, float_layers
    from cvi.calibrate.table import CalibrationTable
    from cvi.execute import float_session
    from cvi.preprocess.dataset import samples

    request, names = job.request, float_layers(job.graph)
    if request.calibration_table:
        job.table = CalibrationTable.read(request.calibration_table)
        return
    if keeps_own_thresholds(request, job.graph):
        own = {n: job.graph.thresholds[n] for n in names if n in job.graph.thresholds}
        job.table = CalibrationTable(own, path="the model's own thresholds")
        job.progress.note(f"{len(own)} thresholds are the model's own")
        keep_table(job, job.table)
        return
    total = math.ceil(len(request.data) / _batch(job.graph))
    job.table = calibrate(
        job.graph,
        samples(job.graph, request.data),
        executor=float_session(job.graph, names, plugins.executors()),
        bins=request.bins,
        method=request.method,
        executors=plugins.executors(),
        trials=trials(job.graph),
        progress=lambda done: job.progress.step(done, total),
        tried=lambda done: job.progress.step(done, len(job.graph.ops)),
    )
    keep_table(job, job.table)


def quantise(job: Job) -> None:
    """The quantised graph."""
    request = job.request
    chip = plugins.chip(request.chip)
    scheme, plan = plugins.scheme(request.quant), job.plan_of(job.graph)
    if isinstance(scheme, Advises):
        for note in scheme.notes(job.graph, chip, plan):
            job.progress.note(note)
    outputs = outputs_type(chip, request.outputs_type)
    if request.outputs_type is None and outputs != "fp32":
        job.progress.note(
            f"{chip.name} cannot cast to fp32: outputs are {outputs}; multiply them by their qscale"
        )
    learns = request.data and request.rounding != NEAREST
    if learns and isinstance(scheme, LearnsRounding):
        job.quantised = _learned(job, scheme, plan, chip, outputs)
    else:
        job.quantised = scheme.quantize(
            job.graph,
            job.table,
            plan,
            chip,
            inputs_type=request.inputs_type,
            outputs_type=outputs,
        )
    problems = chip.check(job.quantised)
    if problems:
        raise UnsupportedError(
            f"{chip.name} cannot run the quantised network",
            where=str(request.model),
            fix=f"`cvi check` tells beforehand what {chip.name} can do",
            problems=problems,
        )
    keep_graph(job, job.quantised, f"{request.quant}.cvi.json")


def _learned(
    job: Job, scheme: LearnsRounding, plan: PrecisionPlan, chip: Chip, outputs: str
) -> Graph:
    """The quantised graph with weights rounded by what that does to the data set."""
    from cvi.preprocess.dataset import samples, shuffled

    return scheme.quantize_learned(
        job.graph,
        job.table,
        plan,
        chip,
        samples(job.graph, shuffled(job.request.data)),
        thorough=job.request.rounding == LEARNED,
        inputs_type=job.request.inputs_type,
        outputs_type=outputs,
        progress=job.progress,
    )


def verify_quantised(job: Job) -> None:
    """Every quantised layer against the float layer of its name; behind a list of boxes
    against what that gives for the same boxes (`cvi.flow.lists`)."""
    from cvi.execute import evaluate

    fed = quantised_inputs(job.quantised, job.inputs)
    job.quantised_values = evaluate(job.quantised, fed, keep=True)
    found = real_values(job.quantised, job.quantised_values)
    target = {name: found[name] for name in job.values if name in found}
    reference = float_reference(job.graph, job.values, target)
    boxes = incomparable(job.graph, target)
    target = {name: array for name, array in target.items() if name not in boxes}
    _compare(job, "verify-quantised", target, reference, boxes)


def compile_program(job: Job) -> None:
    """The bytes of the program file."""
    chip = plugins.chip(job.request.chip)
    job.program = chip.compile(job.quantised, job.request.compile_options)


def verify_machine(job: Job) -> None:
    """The program in the simulator against the quantised graph, every tensor it exposes."""
    fed = quantised_inputs(job.quantised, job.inputs)
    with scratch_folder() as folder:
        path = folder / "program.cvimodel"
        path.write_bytes(job.program)
        shown = plugins.runner("simulator").run(path, fed, all_tensors=True)
    missing = [name for name in job.quantised.outputs if name not in shown]
    if missing:
        raise VerificationError("the program does not give this output", where=missing[0])
    names = [name for name in job.quantised_values if name in shown]
    if job.request.correctness is None:
        _require_equal(job, {n: shown[n] for n in names})
        return
    real = real_values(job.quantised, {name: shown[name] for name in names})
    expected = real_values(job.quantised, {n: job.quantised_values[n] for n in names})
    _compare(job, "verify-machine", real, expected)


def write(job: Job) -> None:
    """The cvimodel appears, whole."""
    from cvi.files import atomic_write_bytes

    if job.request.output is not None:
        atomic_write_bytes(job.request.output, job.program)


def _verified(job: Job) -> bool:
    return job.request.verify


def _needs_thresholds(job: Job) -> bool:
    """BF16 alone needs none, but gets better biases with the means of a table."""
    return job.request.needs_thresholds or job.request.calibration_table is not None


def _from_framework(job: Job) -> bool:
    from cvi.ir import storage

    return job.request.verify and not storage.is_graph_file(job.request.model)


STAGES: tuple[Stage, ...] = (
    Stage("load", "read the model", load),
    Stage("simplify", "simplify the graph", simplify),
    Stage("evaluate", "run the float graph on the test input", test_inputs, _verified),
    Stage("verify-float", "compare with the framework", verify_float, _from_framework),
    Stage("equalise", "equalise channels", equalise, lambda job: job.request.equalise),
    Stage("calibrate", "find thresholds", calibrate, _needs_thresholds),
    Stage("quantise", "quantise", quantise),
    Stage("verify-quantised", "compare quantised with float", verify_quantised, _verified),
    Stage("compile", "generate code", compile_program),
    Stage("verify-machine", "compare the program with the graph", verify_machine, _verified),
    Stage("write", "write the cvimodel", write),
)


def run(job: Job, names: tuple[str, ...]) -> None:
    """Run the named stages in their order; an error says in which stage it happened."""
    for stage in STAGES:
        if stage.name not in names or not stage.wanted(job):
            continue
        job.progress.stage(stage.name, stage.title)
        try:
            stage.apply(job)
        except CviError as error:
            error.where = f"{stage.name}: {error.where}" if error.where else stage.name
            raise


_OPTIONS = {
    "verify-float": "--tolerance",
    "verify-quantised": "--quant-tolerance",
    "verify-machine": "--correctness",
}
"""The option that says what a comparison requires."""


# -- shared by stages -------------------------------------------------------


def trials(graph: Graph) -> Trials:
    """With how many samples thresholds are tried: 100, fewer for networks so large that this
    would take minutes or more than 1 GiB. Every layer is tried with a few thresholds, each time
    running the rest of the network: half of it on average. Of four times as many, which run
    through it once, every layer has its own ones."""
    from cvi.calibrate.tune import Trials

    work = sum(macs(graph, op) for op in graph) * len(graph.ops)
    most = min(_TUNING_SAMPLES, images_at_once(graph))
    each = min(most, max(1, _TUNING_WORK // max(work, 1)))
    return Trials(min(most, _CHOICE * each), each)


def _batch(graph: Graph) -> int:
    return max((op.type.shape[0] for op in graph.inputs if op.type.shape), default=1)


def _compare(
    job: Job,
    stage: str,
    target: Mapping[str, Array],
    reference: Mapping[str, Array],
    uncompared: Mapping[str, str] | None = None,
) -> None:
    """uncompared: layers that are in neither set, with the reason ("" when nobody tells)."""
    request = job.request
    tolerances = {
        "verify-float": request.tolerance,
        "verify-quantised": request.quant_tolerance,
        "verify-machine": request.correctness,
    }
    result = compare_sets(target, reference, tolerances[stage], _present(job, target))
    result = replace(result, uncompared=uncompared or {})
    job.comparisons[stage] = result
    keep_comparison(job, stage, result, target, reference)
    worst = ", ".join(f"{value:.4f}" for value in result.worst)
    job.progress.note(f"{len(result.rows)} layers, worst cosine, correlation, euclidean: {worst}")
    if uncompared:
        job.progress.note(f"not compared: {result.left_open}")
        for reason, count in Counter(filter(None, uncompared.values())).most_common():
            job.progress.note(f"{count} of them: {reason}")
    try:
        result.raise_if_failed(str(request.model))
    except VerificationError as error:
        error.fix = _advice(job, stage)
        raise


def _advice(job: Job, stage: str) -> str:
    """What to do about a failed comparison."""
    table = job.artefact(f"{stage}.csv")
    look = f"{table} lists all layers" if table else "--work-dir DIR keeps the table of all layers"
    accept = f"if the difference is expected, lower {_OPTIONS[stage]} or use --excepts LAYER"
    more = "; more images, or --method max, change the thresholds"
    return f"{look}; {accept}{more if stage == 'verify-quantised' else ''}"


def _present(job: Job, names: Mapping[str, Array]) -> list[str]:
    return [name for name in job.request.excepts if name in names]


def _require_equal(job: Job, shown: Mapping[str, Array]) -> None:
    """Byte for byte, except for fp32 results of the CPU's own functions."""
    expected_values = {name: job.quantised_values[name] for name in shown}
    result = compare_sets(shown, expected_values, excepts=_present(job, shown))
    job.comparisons["verify-machine"] = result
    keep_comparison(job, "verify-machine", result, shown, expected_values)
    checked = [row.name for row in result.rows]
    for name, array in ((name, shown[name]) for name in checked):
        expected = job.quantised_values[name]
        if not same(job.quantised, name, array, expected):
            raise VerificationError(
                f"the program gives other values than the quantised graph: "
                f"{difference(array, expected)}",
                where=f"layer {name}",
                fix="this is a bug of cvi: please report it; --correctness 0.99,0.99,0.98 "
                "accepts similar values",
            )
    job.progress.note(f"{len(checked)} tensors of the program are equal")
