"""What can be refused before any work is done."""

from __future__ import annotations

import os
from pathlib import Path

from cvi import plugins
from cvi.errors import InputError
from cvi.flow.images import no_preprocess, nothing_to_verify_with, uses_images
from cvi.flow.job import AUTO, LEARNED, NEAREST, Request
from cvi.hookspecs import BringsThresholds, Chip, LearnsRounding, LimitsTypes
from cvi.ir import Graph, storage

IO_TYPES = ("int8", "bf16", "fp32")
"""Element types of inputs and outputs of programs."""


def check_request(request: Request, *, suffix: str, compiles: bool, calibrates: bool) -> None:
    """Cross-check all options. CviError for the first that cannot lead to a result.

    suffix: what the output's name must end with. compiles: a chip and thresholds are
    needed. calibrates: only thresholds are made.
    """
    _check_model(request.model)
    _check_reading(request)
    _check_output(request.output, suffix)
    _check_work_dir(request.work_dir)
    for path in request.images:
        _check_file("--image", path)
    if request.calibration_table:
        _check_file("--calibration-table", request.calibration_table)
    if compiles:
        _check_chip(request)
        _check_rounding(request)
    _check_own_thresholds(request)
    if request.mix_table:
        _check_file("--mix-precision-table", request.mix_table)
    needed = calibrates or (compiles and request.needs_thresholds)
    if needed and not _has_thresholds(request):
        raise _no_thresholds(compiles)
    if needed and not request.calibration_table:
        _check_calibration(request)
    _check_images(request)
    if request.verify and not request.images and not request.data:
        raise nothing_to_verify_with()


def _check_model(path: Path) -> None:
    """A file, or a folder that a frontend reads as one model."""
    if path.is_dir():
        accepting = [f for f in plugins.frontends().values() if f.accepts(path)]
        if accepting:
            return
    _check_file("the model", path)


def keeps_own_thresholds(request: Request, graph: Graph) -> bool:
    """Whether the thresholds that the model brings are used. InputError when they are
    asked for but there are none."""
    if request.own_thresholds and not graph.thresholds:
        raise InputError(
            "the model brings no thresholds of its own: it is not a full-integer model",
            where=f"--tflite-int8 {request.own_thresholds}",
            fix="leave the option out, and give --dataset FOLDER with typical images",
        )
    if request.own_thresholds == "recalibrate" or not graph.thresholds:
        return False
    return request.own_thresholds == "keep" or not request.data


def _check_own_thresholds(request: Request) -> None:
    if request.own_thresholds not in ("", "keep", "recalibrate"):
        raise InputError(
            f"unknown {request.own_thresholds!r}",
            where="--tflite-int8",
            fix="one of: keep, recalibrate",
        )
    if request.own_thresholds and request.calibration_table:
        raise InputError(
            "a calibration table and the model's own thresholds exclude each other",
            where=f"--tflite-int8 {request.own_thresholds}",
            fix="leave out one of the two options",
        )


def _has_thresholds(request: Request) -> bool:
    """Whether thresholds stand in a table, are found from samples, or come with the model."""
    if request.calibration_table or request.data:
        return True
    return request.own_thresholds != "recalibrate" and _brings_thresholds(request)


def _brings_thresholds(request: Request) -> bool:
    if storage.is_graph_file(request.model):
        return storage.brings_thresholds(request.model)
    reader = (
        plugins.frontend(request.model_type)
        if request.model_type
        else plugins.frontend_for(request.model)
    )
    return isinstance(reader, BringsThresholds) and reader.brings_thresholds(request.model)


def _check_file(what: str, path: Path) -> None:
    if not path.exists():
        raise InputError("there is no such file", where=f"{what} {path}", fix="check the path")
    if not path.is_file():
        raise InputError("is not a file", where=f"{what} {path}", fix="check the path")


def _check_reading(request: Request) -> None:
    """An IR file has been read once: nothing can be chosen any more."""
    if request.weights:
        _check_file("--weights", request.weights)
    if not storage.is_graph_file(request.model):
        return
    given = {
        "--weights": request.weights,
        "--random-weights": request.random_weights is not None,
        "--model-type": request.model_type,
        "--batch-size": request.batch,
        "--input-shape": request.input_shapes,
        "--outputs": request.outputs,
    }
    for option, value in given.items():
        if value:
            raise InputError(
                f"does not apply to {request.model}, which is an IR file",
                where=option,
                fix="leave it out, or give the option to `cvi transform`",
            )


def _check_output(path: Path | None, suffix: str) -> None:
    if path is None:
        return
    if not path.name.endswith(suffix) or path.name == suffix:
        stem = path.name.split(".")[0] or "model"
        raise InputError(
            f"the output must be named *{suffix}", where=f"-o {path}", fix=f"-o {stem}{suffix}"
        )
    if path.is_dir():
        raise InputError("is a folder", where=f"-o {path}", fix="give a file name")
    if not path.parent.is_dir():
        raise InputError("its folder does not exist", where=f"-o {path}", fix="make it first")
    if not os.access(path.parent, os.W_OK):
        raise InputError("its folder is not writable", where=f"-o {path}", fix="choose another")


def _check_work_dir(folder: Path | None) -> None:
    if folder is None:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"cannot be made: {error.strerror}", where=f"--work-dir {folder}", fix="choose another"
        ) from None


def io_types(chip: Chip) -> tuple[str, ...]:
    """Element types that programs for the chip take and give."""
    return chip.io_types if isinstance(chip, LimitsTypes) else IO_TYPES


def outputs_type(chip: Chip, asked: str | None) -> str:
    """The type of a program's outputs: as asked, else fp32 where the chip can cast to it."""
    return asked or ("fp32" if "fp32" in io_types(chip) else io_types(chip)[0])


def _check_chip(request: Request) -> None:
    chip = plugins.chip(request.chip)
    if request.quant not in chip.schemes:
        raise InputError(
            f"{chip.name} does not support {request.quant!r}",
            where="--quant",
            fix=f"one of: {', '.join(chip.schemes)}",
        )
    plugins.scheme(request.quant)
    for option, value in (
        ("--inputs-type", request.inputs_type),
        ("--outputs-type", request.outputs_type),
    ):
        if value in (None, "auto"):
            continue
        if value not in IO_TYPES:
            known = ", ".join(IO_TYPES)
            raise InputError(f"unknown type {value!r}", where=option, fix=f"one of: {known}")
        if value not in io_types(chip):
            raise InputError(
                f"programs for {chip.name} cannot have {value} there: nothing on the chip casts it",
                where=option,
                fix=f"{option} {io_types(chip)[0]}",
            )
    if request.verify:
        plugins.runner("simulator")


def _check_rounding(request: Request) -> None:
    if request.rounding in (AUTO, NEAREST):
        return
    where = f"--rounding {request.rounding}"
    if request.rounding != LEARNED:
        raise InputError(
            "unknown rounding", where=where, fix=f"one of: {AUTO}, {NEAREST}, {LEARNED}"
        )
    if not isinstance(plugins.scheme(request.quant), LearnsRounding):
        raise InputError(
            f"--quant {request.quant} has no weights whose rounding could be learned",
            where=where,
            fix="leave it out",
        )
    if not request.data:
        raise InputError(
            "how weights are best rounded is learned from images, and there are none",
            where=where,
            fix="give --dataset FOLDER or --image-list FILE with typical images",
        )


def _check_calibration(request: Request) -> None:
    from cvi.calibrate import methods
    from cvi.calibrate.histogram import Histograms

    if request.method != methods.AUTO:
        methods.method_of(request.method)
    Histograms(request.bins)


def _check_images(request: Request) -> None:
    """Images need preprocessing options, unless they stand in the IR file."""
    if not uses_images([*request.images, *(path for files in request.data for path in files)]):
        return
    if not request.image_options.given and not storage.is_graph_file(request.model):
        raise no_preprocess()


def _no_thresholds(compiles: bool) -> InputError:
    table = ", or a finished table with --calibration-table FILE" if compiles else ""
    return InputError(
        "thresholds are found from images, and there are none",
        where="--dataset",
        fix=f"give --dataset FOLDER or --image-list FILE with typical images{table}",
    )
