"""`cvi search`: which layers need BF16 (the guide's run_mix_precision)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cvi.cli.options import GraphFile

app = typer.Typer(add_completion=False)

_DATA, _BUDGET = "Images", "Budget"


@app.command()
def search(
    model: GraphFile,
    chip: Annotated[str, typer.Option(help="cv183x …; `cvi chips` lists them.")],
    calibration_table: Annotated[Path, typer.Option(help="Thresholds of `cvi calibrate`.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", "--mix-precision-table", help="The mix table.")
    ],
    dataset: Annotated[Path, typer.Option(help="Typical images.", rich_help_panel=_DATA)],
    labels: Annotated[
        Path | None, typer.Option(help="Their classes, as in `cvi eval`.", rich_help_panel=_DATA)
    ] = None,
    classes: Annotated[
        Path | None,
        typer.Option(help="Names of the classes, one per line.", rich_help_panel=_DATA),
    ] = None,
    label_offset: Annotated[
        int, typer.Option(help="Added to every class.", rich_help_panel=_DATA)
    ] = 0,
    input_num: Annotated[
        int, typer.Option(min=0, help="Images drawn (0: all).", rich_help_panel=_DATA)
    ] = 30,
    max_bf16_layers: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Layers in BF16 at most (10 when nothing else is asked for).",
            rich_help_panel=_BUDGET,
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            metavar="cos=C|drop=P",
            help="As few layers as reach this cosine to FP32, or lose at most P per cent of "
            "the labelled images.",
            rich_help_panel=_BUDGET,
        ),
    ] = None,
    max_slowdown: Annotated[
        float | None,
        typer.Option(
            metavar="X", help="Estimated cycles at most X times INT8's.", rich_help_panel=_BUDGET
        ),
    ] = None,
    loss_table: Annotated[
        Path | None,
        typer.Option(help="Losses of all layers; a stopped search goes on from this file."),
    ] = None,
) -> None:
    """Rank layers by what INT8 does to the outputs, and choose those that need BF16."""
    import cvi
    from cvi.cli.progress import shown
    from cvi.cli.table import print_table
    from cvi.search.api import Budget
    from cvi.search.select import Target

    goal = Target.parse(target) if target else None
    asked = (max_bf16_layers, goal, max_slowdown)
    limit = 10 if asked == (None, None, None) else max_bf16_layers
    with shown() as progress:
        found = cvi.search_precision(
            model,
            output,
            chip=chip,
            calibration_table=calibration_table,
            dataset=dataset,
            labels=labels,
            classes=classes,
            label_offset=label_offset,
            input_num=input_num,
            budget=Budget(max_layers=limit, target=goal, max_slowdown=max_slowdown),
            loss_table=loss_table,
            progress=progress,
        )
    rows = [("layer", "op", "loss alone", "gain", "precision", "M MACs")]
    for row in found.rows:
        mode = "BF16" if row.chosen else "INT8"
        numbers = (f"{row.loss:.3e}", f"{row.gain:.3e}", mode, f"{row.macs / 1e6:.2f}")
        rows.append((row.layer, row.kind, *numbers))
    print_table(rows)
    typer.echo(f"{output}: {len(found.selection.layers)} of {len(found.rows)} layers in BF16")
    if goal:
        _tell(goal.measure, found.reached, found.reached >= goal.least)


def _tell(measure: str, reached: float, enough: bool) -> None:
    """The target's measure; not reaching it is an exit code of its own."""
    typer.echo(f"{measure}: {abs(reached):.5g}{'' if enough else ', the target is not reached'}")
    if not enough:
        raise typer.Exit(3)
