"""Reading the model file, whole or up to a cut, and refusing what cannot be done."""

from __future__ import annotations

from collections.abc import Sequence

from cvi import plugins
from cvi.cut import advice, proposal
from cvi.errors import InputError, UnsupportedError
from cvi.flow.job import Job, Request
from cvi.hookspecs import DrawsWeights, Frontend
from cvi.ir import Graph

_CUTS = 16
"""Most cuts that --outputs auto tries: each can uncover further problems."""


def frontend_of(request: Request) -> Frontend:
    """The frontend that --model-type names, else the one that accepts the file; with
    --random-weights one that draws them."""
    named = request.model_type
    frontend = plugins.frontend(named) if named else plugins.frontend_for(request.model)
    if request.random_weights is None:
        return frontend
    if not isinstance(frontend, DrawsWeights):
        raise InputError(
            f"the weights of {frontend.name} models are always in the file",
            where="--random-weights",
            fix="leave it out",
        )
    return frontend.with_random_weights(request.random_weights)


def load_cut(job: Job, outputs: Sequence[str]) -> Graph:
    """The imported graph up to these outputs; () for the model's own."""
    request = job.request
    return frontend_of(request).load(
        request.model,
        weights=request.weights,
        batch=request.batch,
        input_shapes=request.input_shapes or None,
        outputs=outputs or None,
    )


def load_what_can_be_done(job: Job) -> Graph:
    """The network up to the last tensors before what frontend, scheme or chip cannot do."""
    from cvi.passes import simplify

    outputs: tuple[str, ...] = ()
    for _ in range(_CUTS):
        try:
            graph = load_cut(job, outputs)
            refuse_unsupported(job, simplify(graph) if job.request.chip else graph)
        except UnsupportedError as error:
            if not error.outputs or error.outputs == outputs:
                raise
            outputs = error.outputs
            continue
        job.cut = outputs
        if outputs:
            job.progress.note(f"the network ends at {', '.join(outputs)}")
        return graph
    raise UnsupportedError(
        f"after {_CUTS} cuts there is still something that cannot be done",
        where=str(job.request.model),
        fix="name the tensors to end at with --outputs",
    )


def note_layouts(job: Job, graph: Graph) -> None:
    """Say which inputs have another layout than in the model file."""
    for op in graph.inputs:
        if op.file_layout:
            dims = "x".join(map(str, op.type.shape))
            job.progress.note(
                f"input {op.name}: the model takes {op.file_layout}; here, and "
                f"in the program, it is NCHW ({dims})"
            )


def refuse_unsupported(job: Job, graph: Graph) -> None:
    """UnsupportedError with all that scheme and chip cannot do, and where to end before it."""
    request = job.request
    if not request.chip:
        return
    chip, plan = plugins.chip(request.chip), job.plan_of(graph)
    problems = plugins.scheme(request.quant).problems(graph, chip, plan)
    if problems:
        count = f"{len(problems)} layers" if len(problems) > 1 else "a layer"
        ends = proposal(graph, problems)
        raise UnsupportedError(
            f"{request.chip} cannot run {count} of this network in {request.quant}",
            where=str(request.model),
            fix=advice(ends)
            or "cut the network before them with --outputs, and compute the rest on the host",
            problems=problems,
            outputs=ends,
        )
