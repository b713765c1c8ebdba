"""What `make demo` runs: its figures are recounted here by other means."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest

from cvi.execute import evaluate
from cvi.flow.real import quantised_input
from cvi.ir import storage
from cvi.plugins import load_ops

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "digits"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def shown(folder: Path) -> str:
    """What the demo prints on stdout, run in an empty folder."""
    command = [sys.executable, str(EXAMPLE / "demo.py")]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "verify-machine" in done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def test_set() -> list[tuple[np.ndarray, int]]:
    """Images as the network was trained on them (train.py), not by cvi's preprocessing."""
    lines = (EXAMPLE / "test" / "labels.txt").read_text().split("\n")
    pairs = [line.split() for line in lines if line]
    return [
        (_image(EXAMPLE / "test" / name), int(digit)) for name, digit in pairs
    ]  # fmt: skip


def _image(path: Path) -> np.ndarray:
    pixels = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    return (pixels.astype(np.float32) / 255)[None, None]


def counted(text: str, title: str) -> int:
    found = re.search(rf"^{title} top-1: +([\d.]+) % +\((\d+) of 360\)$", text, re.MULTILINE)
    assert found, text
    right = int(found[2])
    assert float(found[1]) == round(100 * right / 360, 2)
    return right


def test_fp32_is_what_onnxruntime_counts(
    shown: str, test_set: list[tuple[np.ndarray, int]]
) -> None:
    session = onnxruntime.InferenceSession(EXAMPLE / "digits.onnx")
    right = sum(int(session.run(None, {"image": x})[0].argmax()) == y for x, y in test_set)
    assert counted(shown, "FP32") == right


def test_int8_is_what_the_quantised_graph_counts(
    shown: str, folder: Path, test_set: list[tuple[np.ndarray, int]]
) -> None:
    """The simulator counted; here the numpy meaning of the INT8 graph does."""
    import cvi

    cvi.convert(
        EXAMPLE / "digits.onnx",
        folder / "again.cvimodel",
        chip="cv183x",
        image_options=cvi.ImageOptions(gray=True, input_scale=1 / 255),
        dataset=EXAMPLE / "calibration",
        verify=False,
        work_dir=folder / "work",
    )
    assert (folder / "again.cvimodel").read_bytes() == (
        folder / "out" / "digits.cvimodel"
    ).read_bytes()
    load_ops()
    (saved,) = (folder / "work").glob("*int8.cvi.json")
    graph = storage.load(saved)
    (image,) = graph.inputs
    right = 0
    for x, y in test_set:
        result = evaluate(graph, {image.name: quantised_input(image, x)})
        right += int(np.argmax(result[graph.outputs[0]])) == y
    assert counted(shown, "INT8") == right
    assert right >= 350


def test_it_says_where_the_file_lies(shown: str, folder: Path) -> None:
    written = re.search(r"^written: +(\S+) ", shown, re.MULTILINE)
    assert written
    assert (folder / written[1]).read_bytes()[:8] == b"CviModel"
    assert [path.name for path in (folder / "out").iterdir()] == ["digits.cvimodel"]
