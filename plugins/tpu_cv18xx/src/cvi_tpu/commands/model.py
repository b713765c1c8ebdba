"""`cvi model …`: look into program files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="model", help="Look into a cvimodel.", no_args_is_help=True, add_completion=False
)

File = Annotated[Path, typer.Argument(help="A .cvimodel file.", show_default=False)]


@app.command()
def dump(file: File) -> None:
    """Print header, memory need, sections, weights, programs and tensors."""
    from cvi_tpu.model import read_file
    from cvi_tpu.model.summary import summary

    for line in summary(read_file(file)):
        typer.echo(line)


@app.command()
def disasm(
    file: File,
    program: Annotated[int, typer.Option(min=0, help="Which program.")] = 0,
    routine: Annotated[
        int | None, typer.Option(min=0, help="Which routine (default: all TPU routines).")
    ] = None,
) -> None:
    """Print the TPU's commands, one per line, in the order of the file."""
    from cvi_tpu.commands.listing import listing

    for line in listing(file, program, routine):
        typer.echo(line)
