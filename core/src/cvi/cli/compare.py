"""`cvi compare`: the similarity of two sets of tensors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False)


@app.command()
def compare(
    target: Annotated[Path, typer.Argument(help="A .npz file.", show_default=False)],
    reference: Annotated[
        Path, typer.Argument(help="The .npz file it should equal.", show_default=False)
    ],
    least: Annotated[
        str, typer.Option("--tolerance", metavar="COS,COR,EUC", help="Least similarity.")
    ] = "0.99,0.99,0.98",
    excepts: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME,…", help="Tensors that are not compared."),
    ] = None,
    save: Annotated[Path | None, typer.Option(help="Also write the table as .csv.")] = None,
) -> None:
    """Compare all tensors of two .npz files; fails when one is not similar enough."""
    import cvi
    from cvi.cli.options import tolerance
    from cvi.cli.parse import names
    from cvi.cli.table import print_table
    from cvi.flow.artefacts import write_csv

    result = cvi.compare_files(
        target, reference, tolerance=tolerance("--tolerance", least), excepts=names(excepts or [])
    )
    print_table(result.table())
    if save:
        write_csv(save, result)
    if result.unknown:
        typer.echo(f"excepted but in neither file: {', '.join(result.unknown)}", err=True)
    result.raise_if_failed(str(target))
