"""`cvi plugins`: what is installed, what it gives, and whether it works."""

from __future__ import annotations

import typer

app = typer.Typer(add_completion=False)


@app.command()
def plugins() -> None:
    """List the installed plugins; broken ones with the reason and the remedy."""
    from cvi import plugins as installed
    from cvi.cli.table import print_table

    rows = [("distribution", "version", "state", "gives")]
    found = installed.installed()
    for plugin in found:
        state = "broken" if plugin.problem else "ok"
        rows.append((plugin.distribution, plugin.version, state, ", ".join(plugin.gives)))
    print_table(rows)
    for plugin in found:
        if plugin.problem:
            typer.echo(f"\n{plugin.label} is broken: {plugin.problem}\n  fix: {plugin.mend}")
