"""`cvi transform`: from a model file to an fp32 IR file."""

from __future__ import annotations

from typing import Annotated

import typer

from cvi.cli.groups import grouped
from cvi.cli.options import (
    Equalize,
    ModelFile,
    ModelOptions,
    Output,
    PixelOptions,
    VerifyOptions,
    WorkDir,
    tolerance,
)

app = typer.Typer(add_completion=False)


@app.command()
@grouped
def transform(
    model: ModelFile,
    output: Output,
    reading: ModelOptions,
    pixels: PixelOptions,
    checks: VerifyOptions,
    least: Annotated[
        str,
        typer.Option(
            "--tolerance",
            metavar="COS,COR,EUC",
            help="Least similarity of framework and float graph.",
            rich_help_panel="Verification",
        ),
    ] = "0.99,0.99,0.98",
    equalize: Equalize = False,
    work_dir: WorkDir = None,
) -> None:
    """Import and simplify a model, compare it with its framework, write NAME.cvi.json."""
    import cvi
    from cvi.cli.progress import shown

    with shown() as progress:
        graph = cvi.transform(
            model,
            output,
            weights=reading.weights,
            random_weights=reading.random_weights,
            model_type=reading.model_type,
            batch=reading.batch_size,
            input_shapes=reading.shapes,
            outputs=reading.output_names,
            image_options=pixels.parsed(),
            images=checks.images,
            equalise=equalize,
            tolerance=tolerance("--tolerance", least),
            excepts=checks.excepted,
            verify=not checks.no_verify,
            work_dir=work_dir,
            progress=progress,
        )
    typer.echo(f"{output}: {len(graph.ops)} layers")
