"""Progress: plain lines in a pipe, a bar on a terminal."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

from cvi.cli import progress
from cvi.cli.progress import PlainProgress, shown
from cvi.cli.table import print_table

pty = pytest.importorskip("pty")

SCRIPT = """
from cvi.cli.progress import shown
with shown() as progress:
    progress.stage("calibrate", "find thresholds")
    for i in range(3):
        progress.step(i + 1, 3)
    progress.note("worst [0.9]")
    progress.stage("write", "write it")
    FAIL
print("done")
"""


def test_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with shown() as plain:
        plain.stage("calibrate", "find thresholds")
        plain.step(1, 3)
        plain.step(3, 3)
        plain.note("fine")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "calibrate: find thresholds\ncalibrate: 3 of 3\ncalibrate: fine\n"


def test_long_stages_tell_every_ten_seconds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    plain = PlainProgress()
    plain.stage("calibrate", "find thresholds")
    for done in range(1, 31):
        now[0] += 1
        plain.step(done)
    lines = capsys.readouterr().err.splitlines()[1:]
    assert lines == ["calibrate: 10", "calibrate: 20", "calibrate: 30"]


def on_terminal(script: str) -> tuple[int, str]:
    """Exit code and what is seen when stderr is a terminal."""
    master, slave = pty.openpty()
    environment: dict[str, Any] = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    done = subprocess.run(
        [sys.executable, "-c", script],
        stderr=slave,
        stdout=subprocess.DEVNULL,
        timeout=60,
        env=environment,
    )
    os.close(slave)
    seen = b""
    while True:
        try:
            part = os.read(master, 4096)
        except OSError:
            break
        if not part:
            break
        seen += part
    os.close(master)
    return done.returncode, seen.decode()


def test_bar_on_a_terminal() -> None:
    code, seen = on_terminal(SCRIPT.replace("FAIL", "pass"))
    assert code == 0
    assert "find thresholds" in seen
    assert "3/3" in seen
    assert "worst [0.9]" in seen
    assert "✓" in seen


def test_bar_of_a_failed_stage_is_not_ticked_off() -> None:
    code, seen = on_terminal(SCRIPT.replace("FAIL", "raise SystemExit(5)"))
    assert code == 5
    last = seen.rstrip().split("write it")[-1]
    assert "✓" not in last


def test_table(capsys: pytest.CaptureFixture[str]) -> None:
    print_table([("name", "n"), ("a", "10"), ("bcdef",)])
    assert capsys.readouterr().out == "name   n\na      10\nbcdef\n"
    print_table([])
    assert capsys.readouterr().out == ""
