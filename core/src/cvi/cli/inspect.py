"""`cvi inspect`: what a model consists of."""

from __future__ import annotations

from typing import Annotated

import typer

from cvi.cli.groups import grouped
from cvi.cli.options import ModelFile, ModelOptions

app = typer.Typer(add_completion=False)


@app.command()
@grouped
def inspect(
    model: ModelFile,
    reading: ModelOptions,
    layers: Annotated[bool, typer.Option("--layers", help="List every layer.")] = False,
) -> None:
    """Show inputs, outputs, layers, parameters, MACs, and what is known of preprocessing."""
    import cvi
    from cvi.cli.table import print_table

    found = cvi.inspect(
        model,
        weights=reading.weights,
        random_weights=reading.random_weights,
        model_type=reading.model_type,
        batch=reading.batch_size,
        input_shapes=reading.shapes,
        outputs=reading.output_names,
    )
    rows = [("model", found.name)]
    rows += [("input", f"{name}  {kind}") for name, kind in found.inputs.items()]
    rows += [("output", f"{name}  {kind}") for name, kind in found.outputs.items()]
    rows += [("parameters", f"{found.parameters:,}"), ("MACs", f"{found.macs:,}")]
    rows += [("preprocessing", f"{name}: {text}") for name, text in found.preprocessing.items()]
    rows += [("layers", str(sum(found.ops.values())))]
    rows += [("", f"{count:5d} {kind}") for kind, count in found.ops.items()]
    print_table(rows)
    if layers:
        print_table([("", ""), ("layer", "op", "result"), *found.layers])
