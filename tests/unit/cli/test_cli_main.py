"""The dispatcher: commands, exit codes and how errors look."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer

import cvi
from cvi import cli, plugins
from cvi.builtin import COMMANDS
from cvi.cli import main
from cvi.errors import InputError, PluginError, UnsupportedError, VerificationError
from cvi.hookspecs import Command


@pytest.fixture
def action(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Lets `cvi act` call a function."""
    commands = {"act": Command("act", "Act", "acting:act")}
    monkeypatch.setattr(plugins, "commands", lambda: commands)

    def use(function: Any) -> None:
        def act(count_of: int = 1) -> None:
            function(count_of)

        monkeypatch.setitem(sys.modules, "acting", SimpleNamespace(act=act))

    return use


def raising(error: BaseException) -> Any:
    def function(count: int) -> None:
        raise error

    return function


def test_help_lists_all_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    for command in COMMANDS:
        assert f"  {command.name} " in out
        assert command.help in out
    assert "model" in out


def test_no_words_is_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "usage: cvi" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"cvi {cvi.__version__}\n"


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: c.name)
def test_every_command_can_explain_itself(
    command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command.name, "--help"]) == 0
    assert "Usage: cvi" in capsys.readouterr().out


def test_unknown_command_lists_near_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convrt"]) == 2
    assert "did you mean convert" in capsys.readouterr().err


def test_help_survives_a_clash_of_plugins(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def clash() -> dict[str, Command]:
        raise PluginError("command 'x' is provided by both a and b")

    monkeypatch.setattr(plugins, "commands", clash)
    assert main(["--help"]) == 0
    captured = capsys.readouterr()
    assert "  convert " in captured.out
    assert "both a and b" in captured.err


def test_success_returns_zero(action: Any) -> None:
    action(lambda count: None)
    assert main(["act"]) == 0


def test_typer_exit_code_is_kept(action: Any) -> None:
    action(raising(typer.Exit(5)))
    assert main(["act"]) == 5


def test_error_prints_where_why_fix(action: Any, capsys: pytest.CaptureFixture[str]) -> None:
    action(raising(InputError("too blue", where="--mean", fix="use red")))
    assert main(["act"]) == 2
    assert capsys.readouterr().err == "error: --mean\n  too blue\n  fix: use red\n"


def test_all_problems_are_listed(action: Any, capsys: pytest.CaptureFixture[str]) -> None:
    problems = [f"layer{i}: no" for i in range(60)]
    action(raising(UnsupportedError("no", where="m", problems=problems)))
    assert main(["act"]) == 1
    err = capsys.readouterr().err
    assert "  - layer49: no\n  … and 10 more\n" in err


def test_failed_verification_has_its_own_code(action: Any) -> None:
    action(raising(VerificationError("differs")))
    assert main(["act"]) == 3


def test_internal_error_is_one_line_and_code_70(
    action: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    action(raising(ZeroDivisionError("oops")))
    assert main(["act"]) == 70
    err = capsys.readouterr().err
    assert err.startswith("internal error: ZeroDivisionError: oops\n")
    assert "--debug" in err
    assert "Traceback" not in err


def test_debug_prints_the_traceback(action: Any, capsys: pytest.CaptureFixture[str]) -> None:
    action(raising(ZeroDivisionError("oops")))
    assert main(["act", "--debug"]) == 70
    assert "Traceback" in capsys.readouterr().err


def test_interrupt(action: Any, capsys: pytest.CaptureFixture[str]) -> None:
    action(raising(KeyboardInterrupt()))
    assert main(["act"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_a_signal_that_an_import_turned_into_its_own_error(
    action: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    def importing(count: int) -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except SystemExit:
            raise ImportError("initialization failed") from None

    action(importing)
    assert main(["act"]) == 128 + signal.SIGTERM
    assert capsys.readouterr().err == "interrupted\n"


def test_system_error_names_the_file(action: Any, capsys: pytest.CaptureFixture[str]) -> None:
    action(raising(OSError(errno.EACCES, "Permission denied", "/secret")))
    assert main(["act"]) == 1
    assert "error: /secret\n  Permission denied" in capsys.readouterr().err


def test_out_of_memory(action: Any, capsys: pytest.CaptureFixture[str]) -> None:
    action(raising(MemoryError()))
    assert main(["act"]) == 1
    assert "not enough memory" in capsys.readouterr().err


def test_wrong_option_is_our_kind_of_error(action: Any, capsys: pytest.CaptureFixture[str]) -> None:
    action(lambda count: None)
    assert main(["act", "--cuont-of", "1"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: cvi act\n")
    assert "--cuont-of" in err
    assert "fix: see `cvi act --help`" in err


def test_wrong_type_of_an_option(action: Any, capsys: pytest.CaptureFixture[str]) -> None:
    action(lambda count: None)
    assert main(["act", "--count_of", "many"]) == 2
    assert "--count-of" in capsys.readouterr().err


def test_underscores_are_accepted_everywhere(action: Any) -> None:
    seen = []
    action(seen.append)
    assert main(["act", "--count_of=3"]) == 0
    assert seen == [3]


def test_warnings_are_lines(action: Any, capsys: pytest.CaptureFixture[str]) -> None:
    action(lambda count: warnings.warn("mind the gap", stacklevel=1))
    assert main(["act"]) == 0
    assert capsys.readouterr().err == "warning: mind the gap\n"


def test_broken_command_target(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    commands = {"gone": Command("gone", "Gone", "no.such.module:app")}
    monkeypatch.setattr(plugins, "commands", lambda: commands)
    assert main(["gone"]) == 1
    assert "no.such.module:app" in capsys.readouterr().err


def test_sigterm_unwinds(action: Any, tmp_path: Path) -> None:
    log = []

    def stopped(count: int) -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            log.append("cleaned up")

    action(stopped)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as caught:
        main(["act"])
    assert caught.value.code == 143
    assert log == ["cleaned up"]
    assert signal.getsignal(signal.SIGTERM) is before


def test_reader_that_goes_away_is_no_error() -> None:
    code = (
        "import sys, cvi.cli as c\n"
        "c._version = lambda: [print('x' * 100) for _ in range(10000)] and 0\n"
        "sys.exit(c.main(['--version']))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout and process.stderr
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(30) == cli.EXIT_PIPE
