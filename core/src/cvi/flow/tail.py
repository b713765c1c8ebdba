"""What a cut network leaves for the host: the rest of it, as a file of its own."""

from __future__ import annotations

from pathlib import Path

from cvi import plugins
from cvi.cut import rest_of
from cvi.errors import UnsupportedError
from cvi.flow.job import Job
from cvi.flow.loading import frontend_of
from cvi.hookspecs import Frontend, WritesGraphs, WritesTails
from cvi.ir import Graph, Shape, storage


def keep_tail(job: Job, suffix: str) -> None:
    """X_tail.onnx beside the output X: the network behind --outputs.

    suffix: that of the output. The frontend writes the file if it can; else the imported
    rest is written as ONNX, or as an IR file where no plugin writes ONNX.
    """
    request = job.request
    if not request.outputs or request.output is None:
        return
    frontend = frontend_of(request)
    stem = request.output.name.removesuffix(suffix)
    target = request.output.with_name(f"{stem}_tail.onnx")
    cut = _ends(job.graph)
    if isinstance(frontend, WritesTails):
        written = target if cut and frontend.tail(request.model, target, cut) else None
    else:
        written = _write_imported(job, frontend, target, cut)
    if written is not None:
        job.progress.note(f"{written}: the network behind {', '.join(cut)}, for the host")


def _ends(graph: Graph) -> dict[str, Shape]:
    """The tensors of the model file at which the network ends, and their shapes."""
    ends = [graph[name] for name in graph.outputs]
    return {op.source: op.type.shape for op in ends if op.source}


def _write_imported(
    job: Job, frontend: Frontend, target: Path, cut: dict[str, Shape]
) -> Path | None:
    """The imported graph behind the cut; nothing when it cannot be imported whole."""
    request = job.request
    try:
        whole = frontend.load(
            request.model,
            weights=request.weights,
            batch=request.batch,
            input_shapes=request.input_shapes or None,
        )
    except UnsupportedError as error:
        job.progress.note(f"the rest of the network is not kept: {error.why}")
        return None
    rest = rest_of(whole, set(cut))
    if not rest.outputs:
        return None
    writers = [f for f in plugins.frontends().values() if isinstance(f, WritesGraphs)]
    if writers:
        writers[0].write_graph(rest, target)
        return target
    path = target.with_suffix(".cvi.json")
    storage.save(rest, path)
    return path
