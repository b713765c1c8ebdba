"""`cvi calibrate`: thresholds of an fp32 IR file, from images."""

from __future__ import annotations

import typer

from cvi.cli.groups import grouped
from cvi.cli.options import DataOptions, GraphFile

app = typer.Typer(add_completion=False)


@app.command()
@grouped
def calibrate(
    model: GraphFile,
    data: DataOptions,
    output: str = typer.Option(
        ..., "-o", "--output", "--calibration-table", help="The table to write."
    ),
) -> None:
    """Find one threshold per layer from typical images, and write the calibration table.

    Without images, a full-integer model's own thresholds are written.
    """
    import cvi
    from cvi.cli.progress import shown

    with shown() as progress:
        table = cvi.calibrate_model(
            model,
            output,
            dataset=data.dataset,
            image_list=data.image_list,
            input_num=data.input_num,
            method=data.method,
            bins=data.histogram_bin_num,
            progress=progress,
        )
    origin = f"from {table.samples} samples" if table.samples else "of the model itself"
    typer.echo(f"{output}: {len(table)} thresholds {origin}")
