"""`cvi run`: a cvimodel or an IR file on tensors or an image."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False)


@app.command()
def run(
    model: Annotated[Path, typer.Argument(help="A .cvimodel or .cvi.json file.")],
    given: Annotated[
        list[str],
        typer.Option("--input", help="A .npz, or one image or .npy per input by commas."),
    ],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Write the results to this .npz.")
    ] = None,
    runner: Annotated[str, typer.Option(help="simulator or vendor.")] = "simulator",
    program: Annotated[int, typer.Option(min=0, help="Which program of the file.")] = 0,
    all_tensors: Annotated[
        bool, typer.Option("--all-tensors", help="All tensors, not only the outputs.")
    ] = False,
    graph: Annotated[
        Path | None,
        typer.Option(help="The fp32 IR file, which knows how images are preprocessed."),
    ] = None,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds.")] = 600.0,
) -> None:
    """Run a model once; prints the results' shapes, and writes them with --output."""
    import cvi
    from cvi.cli.parse import paths
    from cvi.cli.table import print_table
    from cvi.errors import InputError
    from cvi.flow.artefacts import write_npz

    if output and output.suffix.lower() != ".npz":
        raise InputError("the output must be named *.npz", where=f"-o {output}")
    results = cvi.run(
        model,
        paths(given),
        runner=runner,
        program=program,
        all_tensors=all_tensors,
        timeout=timeout,
        graph=graph,
    )
    if output:
        write_npz(output, results)
    rows = [("tensor", "type", "shape", "min", "max")]
    for name, array in results.items():
        shape = "x".join(map(str, array.shape))
        ends = (f"{array.min():.6g}", f"{array.max():.6g}") if array.size else ("-", "-")
        rows.append((name, str(array.dtype), shape, *ends))
    print_table(rows)
