"""The command line on real models, with the real plugins."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from cvi.cli import main
from processes import interruptible
from vendor_here import needs_vendor


@pytest.fixture
def mnist(shared: Path) -> Path:
    return shared / "models" / "onnx" / "mnist" / "mnist.onnx"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def cvi(*words: object) -> int:
    return main([str(word) for word in words])


def process(*words: object, **options: object) -> subprocess.Popen[str]:
    code = "import sys; from cvi.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, *map(str, words)]
    options = {"preexec_fn": interruptible, **options}
    return subprocess.Popen(command, text=True, **options)  # type: ignore[call-overload, no-any-return]


def test_convert_in_one_go(
    mnist: Path, shared: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = shared / "images" / "imagenet_train100"
    code = cvi(
        "convert", mnist, "-o", "mnist.cvimodel", "--chip", "cv183x", "--dataset", data,
        "--input_num", 4, "--preset", "zero-one", "--gray", "true", "--work_dir", "work",
    )  # fmt: skip
    captured = capsys.readouterr()
    assert code == 0, captured.err
    assert (here / "mnist.cvimodel").read_bytes()[:8] == b"CviModel"
    assert "memory" in captured.out
    for stage in ("verify-float", "verify-quantised", "verify-machine"):
        assert stage in captured.out
    assert "\x1b" not in captured.out + captured.err
    with np.load("work/mnist_verify-machine_target.npz") as arrays:
        assert arrays["output_Gemm"].dtype == np.int8


def test_three_steps_and_run(
    mnist: Path, shared: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, image = shared / "images" / "imagenet_train100", shared / "images" / "samples" / "cat.jpg"
    assert (
        cvi("transform", mnist, "-o", "m.cvi.json", "--preset", "zero-one", "--image", image) == 0
    )
    assert cvi("calibrate", "m.cvi.json", "--dataset", data, "--input-num", 3, "-o", "table") == 0
    assert (
        cvi(
            "deploy", "m.cvi.json", "--calibration_table", "table", "--chip", "cv183x", "--image",
            image, "-o", "m.cvimodel", "--work-dir", "work",
        )
        == 0
    )  # fmt: skip
    assert cvi("run", "m.cvimodel", "--graph", "m.cvi.json", "--input", image, "-o", "a.npz") == 0
    assert cvi("run", "work/mnist_int8.cvi.json", "--input", image, "-o", "b.npz") == 0
    assert cvi("run", "m.cvi.json", "--input", image, "-o", "c.npz") == 0
    assert cvi("compare", "a.npz", "b.npz", "--tolerance", "1,1,1") == 0
    assert "EQUAL" in capsys.readouterr().out
    assert cvi("compare", "a.npz", "c.npz") == 3
    assert cvi("model", "dump", "m.cvimodel") == 0


@needs_vendor
@pytest.mark.vendor
def test_vendor_runtime_computes_the_same_bytes(mnist: Path, shared: Path, here: Path) -> None:
    data, image = shared / "images" / "imagenet_train100", shared / "images" / "samples" / "cat.jpg"
    pixels = ("--preset", "zero-one")
    code = cvi(
        "convert", mnist, "-o", "m.cvimodel", "--chip", "cv183x", "--dataset", data,
        "--input-num", 2, *pixels, "--image", image,
    )  # fmt: skip
    assert code == 0
    assert cvi("transform", mnist, "-o", "m.cvi.json", *pixels, "--image", image) == 0
    run = ("run", "m.cvimodel", "--graph", "m.cvi.json", "--input", image, "--all-tensors")
    assert cvi(*run, "-o", "ours.npz") == 0
    assert cvi(*run, "-o", "theirs.npz", "--runner", "vendor") == 0
    with np.load("ours.npz") as ours, np.load("theirs.npz") as theirs:
        common = set(ours) & set(theirs)
        assert "output_Gemm_dequant" in common
        for name in common:
            np.testing.assert_array_equal(ours[name].ravel(), theirs[name].ravel(), name)


def test_check_and_inspect(mnist: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cvi("check", mnist, "--chip", "cv183x") == 0
    assert "all 7 layers on cv183x" in capsys.readouterr().out
    assert cvi("inspect", mnist) == 0
    out = capsys.readouterr().out
    assert "fp32[1x1x28x28]" in out
    assert "3 Conv2d" in out
    assert "--preset zero-one --gray (a guess: images of one channel)" in out


def test_dataset_without_preprocessing_lists_the_presets(
    mnist: Path, shared: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = shared / "images" / "imagenet_train100"
    assert cvi("convert", mnist, "-o", "m.cvimodel", "--chip", "cv183x", "--dataset", data) == 2
    assert "--preset imagenet-torch" in capsys.readouterr().err
    assert not list(here.iterdir())


@pytest.mark.parametrize("content", [b"", b"\0" * 1000, b"<!DOCTYPE html><html>", b"\x08\x07\x12"])
def test_garbage_is_one_error(
    here: Path, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    (here / "model.onnx").write_bytes(content)
    for words in (["inspect", "model.onnx"], ["check", "model.onnx", "--chip", "cv183x"]):
        assert cvi(*words) in (1, 2)
        err = capsys.readouterr().err
        assert err.startswith("error: ")
        assert "model.onnx" in err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_conversion_leaves_nothing(
    mnist: Path, shared: Path, here: Path, number: signal.Signals
) -> None:
    data = shared / "images" / "imagenet_val500"
    words = ("convert", mnist, "-o", "m.cvimodel", "--chip", "cv183x", "--dataset", data)
    options = ("--input-num", "0", "--preset", "zero-one")
    with process(*words, *options, stderr=subprocess.PIPE) as running:
        assert running.stderr
        for line in running.stderr:
            if line.startswith("calibrate"):
                break
        time.sleep(0.2)
        running.send_signal(number)
        rest = running.stderr.read()
        assert running.wait(60) == (130 if number == signal.SIGINT else 143), rest
    assert "Traceback" not in rest
    assert not list(here.iterdir())
