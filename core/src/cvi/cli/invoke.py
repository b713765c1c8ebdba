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
    """The exit code of a command for the words after its name.

    Not by Click's `main`, which would turn interrupts and broken pipes into exits.
    """
    click_command = typer.main.get_command(_app(command))
    try:
        with click_command.make_context(f"cvi {command.name}", list(words)) as context:
            click_command.invoke(context)
    except typer.Exit as done:
        return int(done.exit_code)
    except typer.Abort:
        raise KeyboardInterrupt from None
    except _ClickException as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # a group without a sub-command
            error.show()
            return int(error.exit_code)
        raise _input_error(command, error) from None
    return 0


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
