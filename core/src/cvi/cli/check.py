"""`cvi check`: can a chip run a model, and if not, why not."""

from __future__ import annotations

from typing import Annotated

import typer

from cvi.cli.groups import grouped
from cvi.cli.options import ModelFile, ModelOptions

app = typer.Typer(add_completion=False)


@app.command()
@grouped
def check(
    model: ModelFile,
    chip: Annotated[str, typer.Option(help="cv183x …; `cvi chips` lists them.")],
    reading: ModelOptions,
    quant: Annotated[str, typer.Option("--quant", "--quantize", help="Precision.")] = "int8",
) -> None:
    """List the layers that a chip cannot run, each with the reason; fails if there are any."""
    import cvi
    from cvi.cut import advice

    verdict = cvi.check(
        model,
        chip=chip,
        quant=quant.lower(),
        weights=reading.weights,
        random_weights=reading.random_weights,
        model_type=reading.model_type,
        batch=reading.batch_size,
        input_shapes=reading.shapes,
        outputs=reading.output_names,
    )
    runs = f"{verdict.layers} layers on {verdict.chip} in {verdict.quant}"
    if verdict.passed:
        typer.echo(f"{model}: all {runs}")
        return
    typer.echo(f"{model}: {len(verdict.problems)} problems for {runs}")
    for problem in verdict.problems:
        typer.echo(f"  - {problem}")
    if verdict.outputs:
        typer.echo(advice(verdict.outputs))
    raise typer.Exit(1)
