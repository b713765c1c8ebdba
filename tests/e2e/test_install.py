"""Our distributions in an empty environment: what they need, what they can, how big they are."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from benchmarks.installed import install, sizes, with_and_without

pytestmark = pytest.mark.slow

DIGITS = Path(__file__).resolve().parents[2] / "examples" / "digits"
MOST_BYTES = 320 * 10**6


def run(python: Path, *words: object, cwd: Path) -> str:
    """The stdout of `cvi` of that environment, in a folder outside the repository."""
    command = [str(python.with_name("cvi")), *map(str, words)]
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def distributions(python: Path) -> set[str]:
    command = [str(python), "-m", "pip", "list", "--format", "json"]
    listed = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return {entry["name"].lower() for entry in listed}


def test_what_it_takes_to_convert_an_onnx_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    python = install(tmp_path / "venv")
    shown = run(
        python, "convert", DIGITS / "digits.onnx", "--chip", "cv183x", "--gray",
        "--input-scale", 1 / 255, "--dataset", DIGITS / "calibration", "--input-num", 10,
        "-o", "digits.cvimodel", cwd=tmp_path,
    )  # fmt: skip
    assert "verify-machine" in shown
    assert (tmp_path / "digits.cvimodel").read_bytes()[:8] == b"CviModel"
    total, rest = with_and_without(sizes(tmp_path / "venv"), "onnxruntime")
    with capsys.disabled():
        print(f"\ninstalled: {total / 1e6:.0f} MB, {rest / 1e6:.0f} without onnxruntime")
    assert rest < total, "onnxruntime was not installed"
    assert rest <= MOST_BYTES


def test_a_chip_needs_no_framework(tmp_path: Path) -> None:
    """Core and a chip run programs; model formats are for those who install their frontend."""
    packages = ("core", "plugins/tpu_cv18xx", "plugins/chip_cv183x")
    python = install(tmp_path / "venv", packages)
    found = distributions(python)
    assert {"cvi-core", "cvi-tpu-cv18xx", "cvi-chip-cv183x"} <= found
    assert not found & {"onnx", "onnxruntime", "protobuf", "opencv-python-headless"}
    assert "cv183x" in run(python, "chips", cwd=tmp_path)
