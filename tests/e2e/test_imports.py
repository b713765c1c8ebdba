"""What starting up imports, and what it must not: start-up time is proved by this alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "digits" / "digits.onnx"

FRAMEWORKS = {
    "onnx", "onnxruntime", "cv2", "google", "tensorflow", "tflite", "ai_edge_litert", "torch",
    "scipy",
}  # fmt: skip
FOR_WORK = {"numpy", "safetensors", "flatbuffers", "lz4", "asyncio"}

AFTERWARDS = "import json, sys; sys.stderr.write('\\n' + json.dumps(sorted(sys.modules)))"


def modules_after(code: str) -> set[str]:
    """Names of all modules that a fresh interpreter holds after the code."""
    command = [sys.executable, "-c", f"{code}\n{AFTERWARDS}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stderr.splitlines()[-1]))


def cvi(*words: str) -> set[str]:
    """The modules after a command that succeeds, less those of the bare interpreter."""
    run = f"from cvi.cli import main\nassert main({list(words)!r}) == 0"
    return modules_after(run) - modules_after("pass")


def top_level(modules: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in modules}


def test_import_cvi_imports_only_itself() -> None:
    ours = {name for name in modules_after("import cvi") if name.partition(".")[0] == "cvi"}
    assert ours == {"cvi"}


def test_public_functions_come_when_they_are_used() -> None:
    assert "numpy" not in top_level(modules_after("import cvi; dir(cvi)"))
    assert "numpy" in top_level(modules_after("import cvi; cvi.convert"))


@pytest.mark.parametrize("words", [["--help"], ["--version"], []], ids=str)
def test_help_imports_nothing_for_work(words: list[str]) -> None:
    modules = cvi(*words)
    assert not top_level(modules) & (FRAMEWORKS | FOR_WORK | {"typer", "rich", "click"})
    commands = {name for name in modules if name.startswith("cvi.cli.")}
    assert commands <= {"cvi.cli.words", "cvi.cli.console"}


@pytest.mark.parametrize("command", ["chips", "plugins"])
def test_lists_import_no_framework(command: str) -> None:
    assert not top_level(cvi(command)) & FRAMEWORKS


def test_chips_imports_no_arithmetic() -> None:
    assert not top_level(cvi("chips")) & FOR_WORK


@pytest.mark.parametrize("command", ["convert", "transform", "calibrate", "deploy", "run"])
def test_help_of_a_command_imports_no_framework(command: str) -> None:
    assert not top_level(cvi(command, "--help")) & FRAMEWORKS


def test_reading_a_model_starts_no_inference() -> None:
    """`cvi check` needs onnx; onnxruntime and OpenCV are for those who run something."""
    modules = top_level(cvi("check", str(EXAMPLE), "--chip", "cv183x"))
    assert "onnx" in modules
    assert not modules & {"onnxruntime", "cv2"}
