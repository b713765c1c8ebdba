"""What this plugin registers."""

from __future__ import annotations

from cvi.hookspecs import Command, hookimpl
from cvi_runner_vendor.runner import VendorRunner


@hookimpl
def cvi_register_runners() -> list[VendorRunner]:
    return [VendorRunner()]


@hookimpl
def cvi_register_commands() -> list[Command]:
    return [
        Command(
            "vendor",
            "Install the vendor's own runtime and simulator, or show where they are",
            "cvi_runner_vendor.commands:app",
        )
    ]
