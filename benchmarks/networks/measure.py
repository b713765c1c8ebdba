"""Holds one network against its framework, and its programs against the vendor's simulator."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from benchmarks.networks.catalogue import Network, Shapes
from benchmarks.verify import Tally, on_vendor

from cvi import plugins
from cvi.compare import Comparison
from cvi.errors import CviError, UnsupportedError
from cvi.flow import stages
from cvi.flow.job import Job, Request
from cvi.flow.loading import frontend_of
from cvi.flow.real import quantised_inputs
from cvi.hookspecs import CompileOptions
from cvi.ir import Graph, Input
from cvi.macs import macs
from cvi.ops import BatchNorm
from cvi_tpu.model import read_file
from cvi_tpu.runtime import Runtime

CHIPS = ("cv183x", "cv182x")
"""The chips of the guide's two lists."""

QUANT = "int8"
VENDOR_SECONDS = 3000.0


@dataclass(frozen=True, kw_only=True)
class Floats:
    """The float graph against the framework.

    layers: of the simplified graph. compared: of them. skipped: why others are not, and how
    many. worst: least cosine; below: layers that do not reach what is required of the network.
    parameters: without statistics of normalisations. error: why there is no graph.
    """

    frontend: str = ""
    inputs: str = ""
    layers: int = 0
    compared: int = 0
    skipped: Mapping[str, int] = field(default_factory=dict)
    worst: float = math.nan
    worst_layer: str = ""
    below: Mapping[str, float] = field(default_factory=dict)
    macs: int = 0
    parameters: int = 0
    error: str = ""


@dataclass(frozen=True, kw_only=True)
class Program:
    """An INT8 program against the vendor's simulator.

    inputs: sizes of the images. bytes: compared; differ: of them. floats: elements of fp32
    tensors; inexact: off by one unit in the last place. problems: what is wrong beyond that.
    refused: layers that the chip cannot run, and why.
    """

    chip: str
    inputs: str = ""
    tensors: int = 0
    bytes: int = 0
    differ: int = 0
    floats: int = 0
    inexact: int = 0
    problems: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()


def measure_floats(network: Network, folder: Path) -> Floats:
    """Load, simplify and compare; CviError becomes an entry of the result."""
    try:
        job = _loaded(network, folder, network.model.input_shapes)
        loaded = job.graph
        stages.run(job, ("simplify", "evaluate", "verify-float"))
    except CviError as error:
        return Floats(error=_reason(error))
    compared = _layers(job.comparisons["verify-float"], job.graph)
    layers = [op for op in job.graph.ops if not isinstance(op, Input)]
    worst = min(compared.rows, key=lambda row: _order(row.similarity.cosine))
    return Floats(
        frontend=_frontend(job),
        inputs=_sizes(job.graph),
        layers=len(layers),
        compared=len(compared.rows),
        skipped=_skipped(job.graph, compared),
        worst=worst.similarity.cosine,
        worst_layer=worst.name,
        below=_below(compared, network.least),
        macs=sum(macs(loaded, op) for op in loaded.ops),
        parameters=parameters(loaded),
    )


def _reason(error: CviError) -> str:
    """Why, without the places of files on this machine."""
    problems = error.problems if isinstance(error, UnsupportedError) else ()
    return "; ".join(problems) or error.why


def _layers(compared: Comparison, graph: Graph) -> Comparison:
    """The comparison without the inputs, which are equal because they were given."""
    inputs = {op.name for op in graph.inputs}
    return replace(compared, rows=tuple(row for row in compared.rows if row.name not in inputs))


def _below(compared: Comparison, least: float) -> dict[str, float]:
    """Layers that are not close enough; equal ones may have a cosine of nothing."""
    return {
        row.name: row.similarity.cosine
        for row in compared.rows
        if not row.similarity.cosine >= least
    }


def _order(cosine: float) -> float:
    return -math.inf if math.isnan(cosine) else cosine


def _skipped(graph: Graph, compared: Comparison) -> dict[str, int]:
    """Reasons for layers that are not compared, and how many layers each has."""
    reasons = Counter(compared.uncompared.values())
    rest = {op.name for op in graph.ops if not isinstance(op, Input)}
    rest -= {row.name for row in compared.rows} | set(compared.uncompared)
    if rest:
        reasons["a step inside of a layer of the file"] += len(rest)
    return dict(reasons)


def parameters(graph: Graph) -> int:
    """Elements of all constants but the means and variances of normalisations, and factors
    and shifts of those that have none (Caffe's)."""
    norms = [op for op in graph.ops if isinstance(op, BatchNorm)]
    left_out = {name for op in norms for name in op.inputs[3:]}
    left_out |= {name for op in norms for name in _idle(graph, op)}
    return sum(array.size for name, array in graph.constants.items() if name not in left_out)


def _idle(graph: Graph, op: BatchNorm) -> tuple[str, ...]:
    """Factors and shifts that do nothing."""
    factor, shift = (graph.constants[name] for name in op.inputs[1:3])
    return op.inputs[1:3] if (factor == 1).all() and not shift.any() else ()


def measure_programs(
    network: Network, folder: Path, chips: tuple[str, ...], *, vendor: bool = True
) -> Iterator[Program]:
    """A program for each chip with every layer's result kept, and the comparison.

    Every tensor of it is compared with the quantised graph and with the vendor's simulator;
    the program as users get it with the quantised graph. CviError when our own parts
    contradict one another.
    """
    shapes = network.simulated or network.model.input_shapes
    job = _loaded(network, folder, shapes)
    stages.run(job, ("simplify", "evaluate", "calibrate"))
    for chip in chips:
        refused = plugins.scheme(QUANT).problems(job.graph, plugins.chip(chip))
        if refused:
            yield Program(chip=chip, inputs=_sizes(job.graph), refused=tuple(refused))
            continue
        compiled = _for_chip(job, chip, folder)
        tally = _compared(compiled, vendor)
        compiled.request = replace(compiled.request, compile_options=CompileOptions())
        stages.run(compiled, ("compile", "verify-machine"))
        yield Program(
            chip=chip,
            inputs=_sizes(job.graph),
            tensors=tally.tensors,
            bytes=tally.bytes,
            differ=tally.mismatches,
            floats=tally.floats,
            inexact=tally.inexact,
            problems=tuple(tally.problems),
        )


def _compared(job: Job, vendor: bool) -> Tally:
    """Quantise and compile; all tensors in our simulator and in the vendor's."""
    stages.run(job, ("quantise", "verify-quantised", "compile", "verify-machine", "write"))
    path = job.request.output
    assert path is not None
    fed = quantised_inputs(job.quantised, job.inputs)
    tally = Tally()
    with _removed(path):
        ours = Runtime(read_file(path)).run(fed, all_tensors=True)
        if vendor:
            theirs = on_vendor(path, fed, timeout=VENDOR_SECONDS)
            tally.compare(job.request.chip, ours, theirs)
    return tally


@contextmanager
def _removed(path: Path) -> Iterator[None]:
    try:
        yield
    finally:
        path.unlink()


# -- jobs -------------------------------------------------------------------------------


def _loaded(network: Network, folder: Path, shapes: Shapes) -> Job:
    """A job with the graph as it is in the file."""
    model = network.model
    files = model.files(folder)
    images = (model.image,) if model.pixels.given else ()
    request = Request(
        model=files.model,
        weights=files.weights,
        random_weights=files.random_weights,
        batch=1,
        input_shapes=shapes,
        image_options=model.pixels,
        images=images,
        data=(images,) if images else (),
        method=model.method,
        tolerance=model.quant_tolerance,
        quant_tolerance=model.quant_tolerance,
    )
    job = Job(request)
    stages.run(job, ("load",))
    if not images:
        noise = _noise(job.graph, folder / f"{network.name}.npz")
        job.request = replace(request, images=(noise,), data=((noise,),))
    return job


def _noise(graph: Graph, path: Path) -> Path:
    """Inputs for a network that reads no images."""
    rng = np.random.default_rng(0)
    fed = {op.name: rng.standard_normal(op.type.shape, np.float32) for op in graph.inputs}
    np.savez(path, **fed)  # type: ignore[arg-type]
    return path


def _for_chip(job: Job, chip: str, folder: Path) -> Job:
    """The same network and inputs, to be compiled for a chip with all results kept."""
    request = replace(
        job.request,
        chip=chip,
        output=folder / f"{job.name}_{chip}.cvimodel",
        compile_options=CompileOptions(keep_tensors=True),
    )
    made = Job(request)
    made.graph, made.table = job.graph, job.table
    made.inputs, made.values = job.inputs, job.values
    return made


def _frontend(job: Job) -> str:
    return frontend_of(job.request).name


def _sizes(graph: Graph) -> str:
    return ", ".join("x".join(map(str, op.type.shape)) for op in graph.inputs)
