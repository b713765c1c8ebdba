"""`cvi deploy`: from an fp32 IR file and a calibration table to a verified cvimodel."""

from __future__ import annotations

from typing import Annotated

import typer

from cvi.cli.groups import grouped
from cvi.cli.options import (
    ChipOptions,
    DataOptions,
    GraphFile,
    VerifyOptions,
    WorkDir,
    correctness,
    tolerance,
)

app = typer.Typer(add_completion=False)


@app.command()
@grouped
def deploy(
    model: GraphFile,
    output: Annotated[
        str, typer.Option("-o", "--output", "--cvimodel", help="The cvimodel to write.")
    ],
    target: ChipOptions,
    data: DataOptions,
    checks: VerifyOptions,
    calibration_table: Annotated[
        str | None,
        typer.Option(
            help="Thresholds of `cvi calibrate`; default: from --dataset, or those in the IR "
            "file. BF16 needs none."
        ),
    ] = None,
    least: Annotated[
        str,
        typer.Option(
            "--tolerance",
            "--quant-tolerance",
            metavar="COS,COR,EUC",
            help="Least similarity of float and quantised graph.",
            rich_help_panel="Verification",
        ),
    ] = "0.8,0.8,0.3",
    work_dir: WorkDir = None,
) -> None:
    """Quantise, compile and verify an fp32 IR file."""
    import cvi
    from cvi.cli.progress import shown
    from cvi.cli.summary import print_conversion

    with shown() as progress:
        result = cvi.deploy(
            model,
            output,
            chip=target.chip,
            calibration_table=calibration_table,
            quant=target.scheme,
            rounding=target.rounding.lower(),
            mix_precision_table=target.mix_precision_table,
            images=checks.images,
            dataset=data.dataset,
            image_list=data.image_list,
            input_num=data.input_num,
            method=data.method,
            bins=data.histogram_bin_num,
            inputs_type=target.inputs_type.lower(),
            outputs_type=target.outputs_type and target.outputs_type.lower(),
            keep_tensors=target.keep_tensors,
            tolerance=tolerance("--quant-tolerance", least),
            correctness=correctness(target),
            excepts=checks.excepted,
            verify=not checks.no_verify,
            work_dir=work_dir,
            progress=progress,
        )
    print_conversion(result)
