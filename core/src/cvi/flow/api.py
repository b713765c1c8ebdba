"""The public functions: each runs some of the stages on the options it is given.

Paths may be str or Path. All options are keyword-only. Everything a user can get wrong
raises a `CviError`; most of it before any work is done.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cvi import plugins
from cvi.compare import Comparison, Tolerance, compare_sets
from cvi.flow import stages
from cvi.flow.checks import check_request
from cvi.flow.images import ImageOptions
from cvi.flow.job import FLOAT_TOLERANCE, QUANTISED_TOLERANCE, Job, Request
from cvi.flow.progress import Progress, Silent
from cvi.flow.tail import keep_tail
from cvi.hookspecs import CompileOptions, Describes
from cvi.ir import Graph
from cvi.preprocess.dataset import Files, find_images, read_image_list, select
from cvi.preprocess.tensors import load_tensors

if TYPE_CHECKING:
    from cvi.calibrate.table import CalibrationTable

PathLike = str | os.PathLike[str]

GRAPH_SUFFIX = ".cvi.json"
PROGRAM_SUFFIX = ".cvimodel"

_TRANSFORM = ("load", "simplify", "evaluate", "verify-float", "equalise")
_DEPLOY = ("quantise", "verify-quantised", "compile", "verify-machine", "write")


@dataclass(frozen=True)
class Conversion:
    """The result of `convert` or `deploy`.

    comparisons: by stage ("verify-float", …), empty when not verified.
    facts: what the chip says of the program, e.g. its memory need.
    """

    path: Path
    size: int
    graph: Graph
    quantised: Graph
    table: CalibrationTable | None
    comparisons: Mapping[str, Comparison]
    facts: Mapping[str, str]


def convert(
    model: PathLike,
    output: PathLike,
    *,
    chip: str,
    quant: str = "int8",
    weights: PathLike | None = None,
    random_weights: int | None = None,
    model_type: str = "",
    batch: int | None = None,
    input_shapes: Mapping[str, tuple[int, ...]] | None = None,
    outputs: Sequence[str] = (),
    image_options: ImageOptions | None = None,
    images: Sequence[PathLike] = (),
    equalise: bool = False,
    dataset: PathLike | None = None,
    image_list: PathLike | None = None,
    input_num: int = 100,
    method: str = "auto",
    bins: int = 2048,
    calibration_table: PathLike | None = None,
    own_thresholds: str = "",
    rounding: str = "auto",
    mix_precision_table: PathLike | None = None,
    inputs_type: str = "auto",
    outputs_type: str | None = None,
    keep_tensors: bool = False,
    tolerance: Tolerance = FLOAT_TOLERANCE,
    quant_tolerance: Tolerance = QUANTISED_TOLERANCE,
    correctness: Tolerance | None = None,
    excepts: Sequence[str] = (),
    verify: bool = True,
    work_dir: PathLike | None = None,
    progress: Progress | None = None,
) -> Conversion:
    """From a model file to a verified cvimodel.

    weights: the file of the weights where it is not the model file. random_weights: a seed
    from which weights that no file has are drawn, to try an architecture.
    outputs: tensors or layers (wildcards allowed) to end the network at, or "auto" for the
    last ones before what cannot be done; the rest is kept beside the output as X_tail.onnx.
    images: one test input, one file per network input. equalise: whether the channels between
    filters are brought to one range (`cvi.calibrate.equalise`). dataset or image_list: images of
    the calibration, unless a calibration_table is given. own_thresholds: "keep" or
    "recalibrate", what becomes of those that a full-integer model brings; by default they
    are kept unless there are images. tolerance: least similarity of
    framework and float graph; quant_tolerance: of float and quantised graph; correctness:
    of quantised graph and program, None for equality. excepts: layers not compared.
    rounding: of weights: "nearest", "learned" (up or down as suits the images best), or "auto":
    learned from a few images where there are some.
    mix_precision_table: layers of another precision than the default of `quant`.
    inputs_type, outputs_type: what the program is fed with and gives, "int8", "bf16" or
    "fp32"; "auto" inputs are what the first layers compute with, None gives fp32 outputs
    unless the chip cannot cast.
    work_dir: a folder in which the intermediate results are kept.
    """
    request = Request(
        model=Path(model),
        output=Path(output),
        weights=_path(weights),
        random_weights=random_weights,
        model_type=model_type,
        batch=batch,
        input_shapes=dict(input_shapes or {}),
        outputs=tuple(outputs),
        image_options=image_options or ImageOptions(),
        images=_paths(images),
        equalise=equalise,
        data=_data(dataset, image_list, input_num),
        method=method,
        bins=bins,
        calibration_table=_path(calibration_table),
        own_thresholds=own_thresholds,
        chip=chip,
        quant=quant,
        rounding=rounding,
        mix_table=_path(mix_precision_table),
        inputs_type=inputs_type,
        outputs_type=outputs_type,
        compile_options=CompileOptions(keep_tensors=keep_tensors),
        tolerance=tolerance,
        quant_tolerance=quant_tolerance,
        correctness=correctness,
        excepts=tuple(excepts),
        verify=verify,
        work_dir=_path(work_dir),
    )
    check_request(request, suffix=PROGRAM_SUFFIX, compiles=True, calibrates=False)
    job = Job(request, progress or Silent())
    stages.run(job, (*_TRANSFORM, "calibrate", *_DEPLOY))
    keep_tail(job, PROGRAM_SUFFIX)
    return _conversion(job)


def transform(
    model: PathLike,
    output: PathLike,
    *,
    weights: PathLike | None = None,
    random_weights: int | None = None,
    model_type: str = "",
    batch: int | None = None,
    input_shapes: Mapping[str, tuple[int, ...]] | None = None,
    outputs: Sequence[str] = (),
    image_options: ImageOptions | None = None,
    images: Sequence[PathLike] = (),
    equalise: bool = False,
    tolerance: Tolerance = FLOAT_TOLERANCE,
    excepts: Sequence[str] = (),
    verify: bool = True,
    work_dir: PathLike | None = None,
    progress: Progress | None = None,
) -> Graph:
    """The simplified float graph of a model file, compared with the framework and saved.

    outputs: tensors or layers (wildcards allowed) to end the network at, or "auto" for the
    last ones before what cannot be imported; the rest is kept beside it as X_tail.onnx.
    equalise: whether the channels between filters are brought to one range.
    """
    from cvi.ir import storage

    request = Request(
        model=Path(model),
        output=Path(output),
        weights=_path(weights),
        random_weights=random_weights,
        model_type=model_type,
        batch=batch,
        input_shapes=dict(input_shapes or {}),
        outputs=tuple(outputs),
        image_options=image_options or ImageOptions(),
        images=_paths(images),
        equalise=equalise,
        tolerance=tolerance,
        excepts=tuple(excepts),
        verify=verify,
        work_dir=_path(work_dir),
    )
    check_request(request, suffix=GRAPH_SUFFIX, compiles=False, calibrates=False)
    job = Job(request, progress or Silent())
    stages.run(job, _TRANSFORM)
    _warn_of_unknown(job)
    storage.save(job.graph, output)
    keep_tail(job, GRAPH_SUFFIX)
    return job.graph


def calibrate_model(
    graph: PathLike,
    output: PathLike,
    *,
    dataset: PathLike | None = None,
    image_list: PathLike | None = None,
    input_num: int = 100,
    method: str = "auto",
    bins: int = 2048,
    progress: Progress | None = None,
) -> CalibrationTable:
    """The thresholds of an fp32 IR file, written as a calibration table.

    Without images they are those that the file itself holds.
    """
    request = Request(
        model=Path(graph),
        output=Path(output),
        data=_data(dataset, image_list, input_num),
        method=method,
        bins=bins,
        verify=False,
    )
    check_request(request, suffix="", compiles=False, calibrates=True)
    job = Job(request, progress or Silent())
    stages.run(job, ("load", "calibrate"))
    assert job.table is not None
    job.table.write(Path(output))
    return job.table


def deploy(
    graph: PathLike,
    output: PathLike,
    *,
    chip: str,
    calibration_table: PathLike | None = None,
    quant: str = "int8",
    images: Sequence[PathLike] = (),
    dataset: PathLike | None = None,
    image_list: PathLike | None = None,
    input_num: int = 100,
    method: str = "auto",
    bins: int = 2048,
    rounding: str = "auto",
    mix_precision_table: PathLike | None = None,
    inputs_type: str = "auto",
    outputs_type: str | None = None,
    keep_tensors: bool = False,
    tolerance: Tolerance = QUANTISED_TOLERANCE,
    correctness: Tolerance | None = None,
    excepts: Sequence[str] = (),
    verify: bool = True,
    work_dir: PathLike | None = None,
    progress: Progress | None = None,
) -> Conversion:
    """From an fp32 IR file and its calibration table to a verified cvimodel.

    Without a table the thresholds are found from the data set, without that they are those
    that the file itself holds; BF16 needs none. The options are those of `convert`.
    """
    request = Request(
        model=Path(graph),
        output=Path(output),
        images=_paths(images),
        data=_data(dataset, image_list, input_num),
        method=method,
        bins=bins,
        calibration_table=_path(calibration_table),
        chip=chip,
        quant=quant,
        rounding=rounding,
        mix_table=_path(mix_precision_table),
        inputs_type=inputs_type,
        outputs_type=outputs_type,
        compile_options=CompileOptions(keep_tensors=keep_tensors),
        quant_tolerance=tolerance,
        correctness=correctness,
        excepts=tuple(excepts),
        verify=verify,
        work_dir=_path(work_dir),
    )
    check_request(request, suffix=PROGRAM_SUFFIX, compiles=True, calibrates=False)
    job = Job(request, progress or Silent())
    stages.run(job, ("load", "simplify", "evaluate", "calibrate", *_DEPLOY))
    return _conversion(job)


def load(
    model: PathLike,
    *,
    weights: PathLike | None = None,
    random_weights: int | None = None,
    model_type: str = "",
    batch: int | None = None,
    input_shapes: Mapping[str, tuple[int, ...]] | None = None,
    outputs: Sequence[str] = (),
    simplified: bool = True,
) -> Graph:
    """The float graph of a model file or of an IR file; IR files are not changed."""
    from cvi.ir import storage

    request = Request(
        model=Path(model),
        weights=_path(weights),
        random_weights=random_weights,
        model_type=model_type,
        batch=batch,
        input_shapes=dict(input_shapes or {}),
        outputs=tuple(outputs),
        verify=False,
    )
    check_request(request, suffix="", compiles=False, calibrates=False)
    job = Job(request)
    from_file = storage.is_graph_file(request.model)
    stages.run(job, ("load", "simplify") if simplified and not from_file else ("load",))
    return job.graph


def compare_files(
    target: PathLike,
    reference: PathLike,
    *,
    tolerance: Tolerance = FLOAT_TOLERANCE,
    excepts: Sequence[str] = (),
) -> Comparison:
    """The similarity of all tensors of two .npz files."""
    return compare_sets(
        load_tensors(Path(target)), load_tensors(Path(reference)), tolerance, excepts
    )


def _conversion(job: Job) -> Conversion:
    assert job.request.output is not None
    _warn_of_unknown(job)
    chip = plugins.chip(job.request.chip)
    facts = chip.describe(job.program) if isinstance(chip, Describes) else {}
    return Conversion(
        job.request.output,
        len(job.program),
        job.graph,
        job.quantised,
        job.table,
        dict(job.comparisons),
        facts,
    )


def _warn_of_unknown(job: Job) -> None:
    """Names in --excepts that no comparison has are most likely misspelt."""
    known = {name for result in job.comparisons.values() for name in result.excepted}
    unknown = [name for name in job.request.excepts if name not in known]
    if unknown and job.comparisons:
        warnings.warn(f"--excepts: no compared layer is named {', '.join(unknown)}", stacklevel=3)


def _path(path: PathLike | None) -> Path | None:
    return None if path is None else Path(path)


def _paths(paths: Sequence[PathLike]) -> tuple[Path, ...]:
    return tuple(map(Path, paths))


def _data(
    dataset: PathLike | None, image_list: PathLike | None, input_num: int
) -> tuple[Files, ...]:
    """The samples of a calibration; a list is taken whole and goes before a folder."""
    if image_list is not None:
        return tuple(read_image_list(Path(image_list)))
    return () if dataset is None else tuple(select(find_images(Path(dataset)), input_num))
