"""What this plugin registers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cvi.hookspecs import hookimpl
from cvi_runner_vendor.runner import VendorRunner

if TYPE_CHECKING:
    import typer


@hookimpl
def cvi_register_runners() -> list[VendorRunner]:
    return [VendorRunner()]


@hookimpl
def cvi_register_commands() -> dict[str, typer.Typer]:
    from cvi_runner_vendor.commands import app

    return {"vendor": app}
