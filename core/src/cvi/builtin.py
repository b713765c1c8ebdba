"""What core brings, registered through the same hooks as anybody's.

The modules of commands are imported when invoked: `cvi --help` reads only this page.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cvi.hookspecs import Command, hookimpl

if TYPE_CHECKING:
    from cvi.ir import Op

COMMANDS = (
    Command("convert", "Convert a model to a verified cvimodel, in one go", "cvi.cli.convert:app"),
    Command("transform", "Import and simplify a model to an fp32 IR file", "cvi.cli.transform:app"),
    Command("calibrate", "Find the thresholds of all layers from images", "cvi.cli.calibrate:app"),
    Command("deploy", "Quantise, compile and verify an fp32 IR file", "cvi.cli.deploy:app"),
    Command("run", "Run a cvimodel or an IR file on tensors or an image", "cvi.cli.run:app"),
    Command("search", "Find the layers that need BF16", "cvi.cli.search:app"),
    Command("eval", "Accuracy of a classifier over labelled images", "cvi.cli.eval:app"),
    Command("compare", "Compare two sets of tensors", "cvi.cli.compare:app"),
    Command("inspect", "Inputs, outputs, ops, parameters and MACs", "cvi.cli.inspect:app"),
    Command("check", "Which layers a chip can run, and why not", "cvi.cli.check:app"),
    Command("plugins", "List the installed plugins", "cvi.cli.plugins:app"),
    Command("chips", "List the chips to compile for", "cvi.cli.chips:app"),
)


@hookimpl
def cvi_register_ops() -> Sequence[type[Op]]:
    from cvi import ops

    return [getattr(ops, name) for name in ops.__all__]


@hookimpl
def cvi_register_commands() -> Sequence[Command]:
    return COMMANDS
