"""Option groups: dataclasses whose fields become options."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from cvi.cli.groups import grouped


@dataclass(frozen=True)
class Size:
    width: Annotated[int, typer.Option("--width", "-w", help="Wide.")]
    height: Annotated[int, typer.Option(help="High.")] = 2


def area(name: Annotated[str, typer.Argument()], size: Size, times: int = 1) -> None:
    typer.echo(f"{name}: {size.width * size.height * times} {size!r}")


def runner_of(function: object) -> typer.Typer:
    app = typer.Typer()
    app.command()(function)  # type: ignore[type-var]
    return app


def test_fields_become_parameters_with_their_defaults() -> None:
    parameters = inspect.signature(grouped(area)).parameters
    assert list(parameters) == ["name", "width", "height", "times"]
    assert parameters["height"].default == 2
    assert parameters["width"].default is inspect.Parameter.empty


def test_command_gets_the_dataclass() -> None:
    result = CliRunner().invoke(runner_of(grouped(area)), ["it", "-w", "3", "--times", "2"])
    assert result.exit_code == 0
    assert result.output.strip() == "it: 12 Size(width=3, height=2)"


def test_required_field_is_required() -> None:
    result = CliRunner().invoke(runner_of(grouped(area)), ["it"])
    assert result.exit_code == 2


def test_two_options_of_one_name_are_refused() -> None:
    def twice(size: Size, height: int = 1) -> None:
        raise NotImplementedError

    with pytest.raises(TypeError, match="two options 'height'"):
        grouped(twice)
