"""`cvi vendor …`: get the vendor's libraries, and tell whether they are there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cvi_runner_vendor import libraries

app = typer.Typer(
    name="vendor",
    help="The vendor's own runtime and simulator.",
    no_args_is_help=True,
    add_completion=False,
)

Folder = Annotated[
    Path | None,
    typer.Option("--dir", help="Folder of the libraries (default: CVI_VENDOR_LIB, else yours)."),
]


@app.command()
def install(
    folder: Folder = None,
    wheel: Annotated[
        Path | None, typer.Option(help="Use this wheel file instead of downloading it.")
    ] = None,
) -> None:
    """Fetch the vendor's libraries out of its wheel with pip (3 MB are kept)."""
    target = libraries.install(folder, wheel=wheel)
    typer.echo(f"{target}: {', '.join(libraries.SHA256)}")


@app.command()
def status(folder: Folder = None) -> None:
    """Say where the libraries are looked for and whether they are the known ones."""
    where = libraries.library_folder(folder)
    absent = libraries.missing(where)
    for name, expected in libraries.SHA256.items():
        if name in absent:
            state = "missing"
        elif libraries.digest(where / name) == expected:
            state = "ok"
        else:
            state = "another build than the one that was tested"
        typer.echo(f"{where / name}: {state}")
    if absent:
        typer.echo("run `cvi vendor install` to get them")
        raise typer.Exit(1)
