"""`cvi convert`: from a model file to a verified cvimodel."""

from __future__ import annotations

from typing import Annotated

import typer

from cvi.cli.groups import grouped
from cvi.cli.options import (
    ChipOptions,
    DataOptions,
    Equalize,
    ModelFile,
    ModelOptions,
    Output,
    PixelOptions,
    VerifyOptions,
    WorkDir,
    correctness,
    tolerance,
)

app = typer.Typer(add_completion=False)


@app.command()
@grouped
def convert(
    model: ModelFile,
    output: Output,
    target: ChipOptions,
    reading: ModelOptions,
    pixels: PixelOptions,
    data: DataOptions,
    checks: VerifyOptions,
    calibration_table: Annotated[
        str | None,
        typer.Option(help="Thresholds, instead of a data set.", rich_help_panel="Calibration"),
    ] = None,
    tflite_int8: Annotated[
        str,
        typer.Option(
            "--tflite-int8",
            metavar="keep|recalibrate",
            help="A full-integer model's own thresholds; default: kept without --dataset.",
            rich_help_panel="Calibration",
        ),
    ] = "",
    float_tolerance: Annotated[
        str,
        typer.Option(
            "--tolerance",
            metavar="COS,COR,EUC",
            help="Least similarity of framework and float graph.",
            rich_help_panel="Verification",
        ),
    ] = "0.99,0.99,0.98",
    quant_tolerance: Annotated[
        str,
        typer.Option(
            metavar="COS,COR,EUC",
            help="Least similarity of float and quantised graph.",
            rich_help_panel="Verification",
        ),
    ] = "0.8,0.8,0.3",
    equalize: Equalize = False,
    work_dir: WorkDir = None,
) -> None:
    """Convert a model to a cvimodel: import, calibrate, quantise, compile, verify."""
    import cvi
    from cvi.cli.progress import shown
    from cvi.cli.summary import print_conversion

    with shown() as progress:
        result = cvi.convert(
            model,
            output,
            chip=target.chip,
            quant=target.scheme,
            rounding=target.rounding.lower(),
            mix_precision_table=target.mix_precision_table,
            weights=reading.weights,
            random_weights=reading.random_weights,
            model_type=reading.model_type,
            batch=reading.batch_size,
            input_shapes=reading.shapes,
            outputs=reading.output_names,
            image_options=pixels.parsed(),
            images=checks.images,
            equalise=equalize,
            dataset=data.dataset,
            image_list=data.image_list,
            input_num=data.input_num,
            method=data.method,
            bins=data.histogram_bin_num,
            calibration_table=calibration_table,
            own_thresholds=tflite_int8.lower(),
            inputs_type=target.inputs_type.lower(),
            outputs_type=target.outputs_type and target.outputs_type.lower(),
            keep_tensors=target.keep_tensors,
            tolerance=tolerance("--tolerance", float_tolerance),
            quant_tolerance=tolerance("--quant-tolerance", quant_tolerance),
            correctness=correctness(target),
            excepts=checks.excepted,
            verify=not checks.no_verify,
            work_dir=work_dir,
            progress=progress,
        )
    print_conversion(result)
