"""Run one command: import its target, let Typer parse, turn usage errors into ours."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import typer
import typer.main

from cvi.errors import InputError, PluginError
from cvi.hookspecs import Command

_UsageError: Any = typer.BadParameter.__base__
"""Click's UsageError; newer versions of Typer bring a Click of their own."""
_ClickException: Any = _UsageError.__base__


def invoke(command: Command, words: Sequence[str]) -> int:
    """The exit code of a command for the words after its name."""
    click_command = typer.main.get_command(_app(command))
    try:
        result = click_command.main(
            args=list(words), prog_name=f"cvi {command.name}", standalone_mode=False
        )
    except typer.Abort:
        raise KeyboardInterrupt from None
    except _ClickException as error:
        raise _input_error(command, error) from None
    return result if isinstance(result, int) else 0


def _app(command: Command) -> typer.Typer:
    """The command's target as a Typer app."""
    module, _, attribute = command.target.partition(":")
    try:
        target = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise PluginError(
            f"the command cannot be loaded from {command.target}: {error}",
            where=f"cvi {command.name}",
            fix="install the plugin again; `cvi plugins` names its distribution",
        ) from error
    if isinstance(target, typer.Typer):
        return target
    app = typer.Typer(add_completion=False)
    app.command()(target)
    return app


def _input_error(command: Command, error: Any) -> InputError:
    context = getattr(error, "ctx", None)
    path = context.command_path if context else f"cvi {command.name}"
    return InputError(error.format_message(), where=path, fix=f"see `{path} --help`")
