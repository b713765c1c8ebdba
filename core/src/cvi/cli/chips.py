"""`cvi chips`: the chips to compile for."""

from __future__ import annotations

import typer

app = typer.Typer(add_completion=False)


@app.command()
def chips() -> None:
    """List the installed chips with their precisions."""
    from cvi import plugins
    from cvi.cli.table import print_table

    known = plugins.chips()
    if not known:
        typer.echo("no chip is installed; for example: pip install cvi-chip-cv183x")
        raise typer.Exit(1)
    rows = [("chip", "precisions", "summary")]
    rows += [(chip.name, ", ".join(chip.schemes), chip.summary) for chip in known.values()]
    print_table(rows)
